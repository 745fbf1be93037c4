"""Who the parties are, who takes part, and the key the sites share."""
