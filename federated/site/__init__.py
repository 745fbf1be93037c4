"""A site: its copy of the model, its keys, its policy, its record of what left it. It knows no coordinator."""
