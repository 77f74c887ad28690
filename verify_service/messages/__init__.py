"""What people read and hear: texts per purpose and language, what a text costs, and what people write back."""

from verify_service.messages.composing import Text, compose, notice, reply
from verify_service.messages.keywords import Kind, is_unclear, keyword, tongue
from verify_service.messages.measure import Encoding, measure
from verify_service.messages.own import NONE, Own

__all__ = [
    "NONE",
    "Encoding",
    "Kind",
    "Own",
    "Text",
    "compose",
    "is_unclear",
    "keyword",
    "measure",
    "notice",
    "reply",
    "tongue",
]
