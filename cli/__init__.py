"""."""
def main(): pass
