"""The commented `site.toml` that a new site begins with. Its lines are the defaults, or examples in comments."""

from __future__ import annotations

from typing import Final

TEMPLATE: Final = """\
# A site of a federation. Its data stays here; what would leave: nasturtium federate client --dry-run
# Paths are relative to this file.
version = 1

{name}
keys = "keys"                   # folder with the identity and the keys, made by: nasturtium federate init site
state = "state"                 # folder with what the site has to remember: privacy budget, audit log, its models
{admission}    # what the coordinator sends back
# roster_fingerprint = ""       # of the roster that is signed without asking, once compared with the other sites'


[data]
# csv, parquet, sql, npz, or images: a folder with a folder of .png or .jpg files for each class.
{kind}
{path}
# The column to learn; of an NPZ file the array. Images have none.
{target}
task = "classification"         # or "regression"
missing = "refuse"              # missing values are errors; "fill" fills them in, "indicate" also tells the network
# classes = ["no", "yes"]       # all that the target can have, where this site's rows have not every one
# ignore = ["patient_id"]       # columns that are left out
# Only these columns, each "numeric", "categorical", or "auto" by what is in it:
# columns = {{ age = "numeric", sex = "categorical" }}
# image_size = [28, 28]         # height and width in pixels that images are scaled to

# Instead of a path, for kind = "sql". The connection only reads; give it a user that may do no more.
# database = "postgresql+psycopg://reader@db.example.org/clinic"    # or "sqlite:///clinic.db"
# query = "SELECT age, sex, outcome FROM visits"
# password_env = "CLINIC_PASSWORD"                                  # a variable of the environment, or
# password_file = "clinic.password"                                 # a file with mode 0600; never in this one


[split]
validation = 0.2                # share of the rows that the model is measured on in each round
test = 0.2                      # share that no round sees: what the site gains by the federation is told on them
seed = 0
stratified = true               # every part has the classes in about the same proportion


[policy]                        # what is not allowed here is refused, whoever asks
# agree: on ranges and categories, by protected sums; checkpoint: give the model, sealed, to a site that missed rounds.
# search: train and measure networks that are compared, of which no model is kept.
# "release" may be added: give the final model to those in release_to.
actions = ["agree", "train", "evaluate", "search", "checkpoint"]
min_sites = 3                   # least number of sites in a sum; never less than 3
min_rows = 20                   # fewest training rows that this site takes part with
# max_epsilon = 8.0             # of all that ever leaves, over all runs; then nothing without noise is taken part in
delta = 1e-5                    # at which epsilon is counted
max_rounds = 1000               # of training, in one run
require_masks = true            # updates are masked under the encryption: nobody reads a single one
allow_plain = false             # may updates leave without encryption?
strategies = ["any"]            # or the names of those this site takes part in
tell_rows = false               # may the coordinator know how many rows there are?
tell_columns = true             # and the names and kinds of the columns? If not, it learns their fingerprint
tell_norms = false              # and how large each update is?
release_to = []                 # "coordinator", by its name, or "NAME:ID" with 32 digits of somebody's fingerprint


# Models of your own, by name: a module that is installed here, and the function in it that makes one. A coordinator
# may ask for these, for those of packages you have installed, and for no other code.
# [models]
# my-net = "my_models:my_net"
"""
