"""What a coordinator and its sites say to each other: a round's values and messages, how questions are asked."""
