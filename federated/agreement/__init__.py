"""What sites agree on before they train: columns, categories, classes, means and scales, found by protected sums.

**The one idea:** a question is a sum of integers. The coordinator passes it on, adds the sites' protected answers, and
gives the sum back; each site opens it, and all derive the same next question, or in the end the same `Preprocessing`.

    terms of the job -> question -> answers of the sites -> protected sum -> every site opens it -> next question ...

Five or six sums are enough: how large numbers are and how many names there are; sums, and the names; how far numbers
are from their mean, and how often there are categories; squared distances. A median or a range takes four more.

What comes out is what `core.data.Preprocessing.fit` measures on the training rows of all sites together, but for:
means and scales are rounded (`numbers` says how far: about 1e-13 of the spread), medians and ranges known to 20 bits
(`search`); a column is constant, with the scale 1, where NumPy may take the rounding of its mean for a spread; names
are in one canonical order (by size where all are numbers); `fill="most_frequent"` does not exist for numbers.
Categories and classes are all that the sites' data sets list, whether or not a training row has them.

Threat model. The coordinator reads no sum. It is told, by a majority of the sites, what it needs to go on and to make a
network: the job's terms with names and kinds of columns (the job or the sites' greetings hold them anyway), about how
many different names there are and how long the longest is (the size of a table), how many categories the columns have
together, and in the end the kind of task, the shape of an input and the number of outputs (`Facts`). It is not told
names, means, scales, ranges, counts, or which column has missing values: keyed tags show it only that the sites agree.

Every site reads every sum: the number of rows of all sites, of each numeric column how many numbers there are, mean and
variance, the binary exponents of the largest magnitude and how many sites have each, how often there is each category,
and of each name how many sites have it. It can subtract its own part: of three sites it then knows the sum of the two
others. Whose a name is the sums do not say. A median or a range is, within 20 bits, a number of one row: jobs say if
they want one.

A lying site can shift means like everybody, and bend the result. What no honest sites can have added up to is noticed
and ends the agreement at every site: more marks than sites, names that cannot be told apart, moments no numbers have.
Who it was cannot be seen under encryption.

With differential privacy all of this would be exact releases. A run with noise asks nothing: the job has to give the
range of every number, all categories and all classes as public knowledge (`Terms.check_privacy` refuses it otherwise),
and the sites check their data against it.
"""

from .conform import conform
from .names import NameTable
from .question import Facts, Question, first_question
from .schema import Schema, SchemaColumn, merge_schemas
from .site_agreement import Opening, SiteAgreement
from .terms import Terms, public_preprocessing

__all__ = [
    "Facts",
    "NameTable",
    "Opening",
    "Question",
    "Schema",
    "SchemaColumn",
    "SiteAgreement",
    "Terms",
    "conform",
    "first_question",
    "merge_schemas",
    "public_preprocessing",
]
