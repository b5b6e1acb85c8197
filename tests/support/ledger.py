"""What was published, what the broker answered and what readers saw: and so what must stand in the logs.

A payload is its publisher, its number and as many more bytes as it was given, so that a stored message tells where it
comes from and whether it is whole.
"""
from collections import defaultdict

from .check import eq, fail, ok, short


def payload(publisher, number, size=0):
    token = f"{publisher}.{number}"
    return token if size <= len(token) + 1 else (token + "~" + (token + ",") * (size // (len(token) + 1) + 1))[:size]


class Ledger:
    def __init__(self, name=""):
        self.name = name
        self.sent = defaultdict(dict)    # topic -> token -> (publisher, number, size)
        self.kept = defaultdict(dict)    # topic -> offset -> token: what must be there from now on
        self.known = defaultdict(set)    # topic -> the tokens of kept
        self.epochs = {}
        self.acked = 0

    def say(self, topic, what, *details):
        fail(f"{self.name}: {topic}: {what}", *details)

    def send(self, topic, publisher, number, size=0):
        """The payload to send; call it before sending."""
        data = payload(publisher, number, size)
        self.sent[topic][f"{publisher}.{number}"] = (publisher, number, size)
        return data

    def _keep(self, topic, offset, epoch, token, why):
        was = self.kept[topic].get(offset)
        if was is not None and was != token:
            self.say(topic, f"{why}: {token} at offset {offset}, where {was} was before")
        if self.epochs.setdefault(topic, epoch) != epoch:
            self.say(topic, f"{why}: epoch {epoch}, before it was {self.epochs[topic]}", token)
        if was is None and token in self.known[topic]:
            at = [o for o, t in self.kept[topic].items() if t == token]
            self.say(topic, f"{why}: {token} at offset {offset}, and it was at {at} before")
        self.kept[topic][offset] = token
        self.known[topic].add(token)

    def acknowledged(self, topic, token, answer):
        if not isinstance(answer.get("offset"), int) or not answer.get("epoch"):
            self.say(topic, "an ok without a position", answer)
        self._keep(topic, answer["offset"], answer["epoch"], token, "acknowledged")
        self.acked += 1

    def whole(self, topic, item):
        """The token of a stored message, which must be as it was sent."""
        data = item.get("data")
        token = str(data).split("~", 1)[0]
        sent = self.sent[topic].get(token)
        if sent is None:
            self.say(topic, "a message that nobody sent", item)
        if data != payload(*sent):
            self.say(topic, f"the payload of {token} was changed", f"got  {short(data)}", f"want {short(payload(*sent))}")
        return token

    def saw(self, topic, item):
        """A live reader got it: so it is committed."""
        self._keep(topic, item["offset"], item["epoch"], self.whole(topic, item), "delivered")

    def check(self, topic, items, max_count=0):
        """items: everything that the topic's log holds, oldest first. max_count: what the rule lets it hold; 0 = all."""
        kept, order = self.kept[topic], {}
        first = items[0]["offset"] if items else 1
        head = items[-1]["offset"] if items else 0
        newest = max(kept, default=0)
        if head < newest:
            gone = sorted(o for o in kept if o > head)
            self.say(topic, f"{len(gone)} acknowledged messages are lost: the log ends at {head}, {newest} was answered",
                     [(o, kept[o]) for o in gone[-5:]])
        if first != 1 and not (max_count and len(items) >= max_count):
            self.say(topic, f"the log holds {len(items)} messages from offset {first} on; max-count is {max_count}")
        if max_count and len(items) > max_count:
            self.say(topic, f"the log holds {len(items)} messages, max-count is {max_count}")
        for at, item in enumerate(items):
            if item["offset"] != first + at:
                self.say(topic, f"offset {item['offset']} where {first + at} was due", items[max(0, at - 2):at + 2])
            token = self.whole(topic, item)
            publisher, number, _ = self.sent[topic][token]
            if order.get(publisher, -1) >= number:
                self.say(topic, f"{token} at offset {item['offset']} stands after {publisher}.{order[publisher]}")
            order[publisher] = number
            self._keep(topic, item["offset"], item["epoch"], token, "stored")
        return len(items)

    def check_all_are_there(self, topic, items):
        """For topics whose publishers repeat until they get an answer."""
        stored = {self.whole(topic, item) for item in items}
        eq(sorted(set(self.sent[topic]) - stored), [], f"{self.name}: {topic}: sent, answered at last, but not stored")


def read_history(client, topic, after=None, page=1000):
    """Everything after a position, by pages."""
    items, start = [], after or "first"
    while True:
        answer = client.ok("history", topic=topic, limit=page, **{"from": start})
        items += answer["items"]
        if "next" not in answer or not answer["items"]:
            return items
        start = answer["next"]


def read_subscription(client, heads):
    """By one wildcard subscription from the first message on, until each topic's head came. topic -> messages."""
    found, missing = defaultdict(list), {topic: head for topic, head in heads.items() if head}
    client.sub("#", **{"from": "first"})
    while missing:
        got = client.next("msg")
        found[got["topic"]].append(got)
        if missing.get(got["topic"]) == got.get("offset"):
            del missing[got["topic"]]
    client.ok("unsub", topic="#")
    client.pending()
    return found


def same_messages(one, other, what):
    short_form = [[(m["offset"], m["epoch"], m["data"]) for m in items] for items in (one, other)]
    ok(short_form[0] == short_form[1], f"{what} differ", [m[:2] for m in short_form[0]][-5:], [m[:2] for m in short_form[1]][-5:])
