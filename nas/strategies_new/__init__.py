from ..strategies import *  # noqa
