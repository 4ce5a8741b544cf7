"""Class names, prompts, descriptors and tokens."""

from slowfast.text.descriptors import Descriptors, load_descriptors
from slowfast.text.labels import ClassVocabulary, load_classes, load_vocabulary
from slowfast.text.prompts import (
    PROMPT_SETS,
    PromptSet,
    expand_descriptors,
    expand_names,
    get_prompts,
)
from slowfast.text.tokenize import CONTEXT_LENGTH, tokenize

__all__ = [
    "CONTEXT_LENGTH",
    "PROMPT_SETS",
    "ClassVocabulary",
    "Descriptors",
    "PromptSet",
    "expand_descriptors",
    "expand_names",
    "get_prompts",
    "load_classes",
    "load_descriptors",
    "load_vocabulary",
    "tokenize",
]
