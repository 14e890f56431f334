"""What the documents quote of the committed summaries, read once for all tests of a process."""

import functools

from experiments import make_documents
from experiments.documents import lookups

names = functools.cache(lookups.names)
documents = functools.cache(make_documents.documents)
