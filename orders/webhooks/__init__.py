"""Webhooks: events as signed HTTP requests, by the Standard Webhooks specification. Needs the extra ``webhooks``.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from orders.webhooks.addresses import Addresses, AddressRejected
from orders.webhooks.message import Message, message_of, trial
from orders.webhooks.sender import Response, Sender

__all__ = ["AddressRejected", "Addresses", "Message", "Response", "Sender", "message_of", "trial"]
