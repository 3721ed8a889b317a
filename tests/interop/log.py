"""What a secondary holds: the log, how far it is shown to be the master's, and what came before its turn."""
import collections

import xxhash

from frames import NONE, in_json

HOLD_BACK, MAX_ASIDE = 64 << 20, 100_000
SPREAD, TWO_TO_128 = 0x9e3779b97f4a7c15f39cc0605cedc835, 1 << 128


class Log:
    def __init__(self):
        self.entries, self.verified = [], 0  # each entry is (epoch, text)
        self.held = {}  # the same, by seq: what comes before it is missing
        self.digests = [0]  # of no entry, of the first one, ...: as many as somebody has asked for
        self.aside = collections.deque(maxlen=MAX_ASIDE)  # what was rolled back
        self.duplicates = 0

    @property
    def last(self):
        return len(self.entries)

    def epoch_at(self, seq):
        return self.entries[seq - 1][0] if seq else NONE

    def position(self, seq):
        return in_json(self.epoch_at(seq), seq=seq)

    def has(self, seq, epoch):
        return seq <= self.last and self.epoch_at(seq) == epoch

    def shared(self, seq, epoch):
        """The last entry that this log can share with one that has that entry."""
        if self.has(seq, epoch):
            return seq
        keep = min(max(seq - 1, 0), self.last)
        while self.epoch_at(keep) > epoch:
            keep -= 1
        return keep

    def verify(self, seq, epoch):
        """The master has that entry."""
        if self.has(seq, epoch):
            self.verified = max(self.verified, seq)
        elif seq <= self.last:
            self.roll_back(self.shared(seq, epoch))

    def end_at(self, tail, epoch):
        """The log of the master of that epoch ends there: it has nothing else of former masters."""
        if tail < self.last and self.epoch_at(tail + 1) < epoch:
            self.roll_back(tail)

    def roll_back(self, keep):
        if self.verified <= keep < self.last:
            self.aside.extend(self.entries[keep:])
            del self.entries[keep:], self.digests[keep + 1:]

    def doubt(self):
        """Another epoch: nothing is shown to be its master's yet."""
        self.verified, self.held = 0, {}

    def empty(self, keep):
        self.doubt()
        if keep:
            self.roll_back(0)
        self.entries, self.digests = [], [0]

    def take(self, first, placed, texts):
        """Entries of the master that is followed."""
        for seq in (first, first + len(texts) - 1):
            at = min(seq, self.last)
            if texts and first <= self.last:
                self.verify(at, placed)
                if at <= self.last and not self.has(at, placed):
                    return  # it contradicts what this epoch has shown
        for seq, text in enumerate(texts, first):
            self.duplicates += seq <= self.last or seq in self.held
            if seq > self.last:
                self.held.setdefault(seq, (placed, text))
        while self.verified == self.last and self.last + 1 in self.held:
            self.entries.append(self.held.pop(self.last + 1))
            self.verified = self.last
        while sum(len(text) for _, text in self.held.values()) > HOLD_BACK:
            del self.held[max(self.held)]

    def digest(self, seq):
        """The digest of the entries up to there."""
        for _, text in self.entries[len(self.digests) - 1:seq]:
            hashed = xxhash.xxh3_128_intdigest(text.encode())
            self.digests.append((self.digests[-1] ^ hashed) * SPREAD % TWO_TO_128)
        return {"seq": seq, "hash": f"{self.digests[seq]:032x}"}

    def after(self, prev, room):
        """For a fetch: the last entry that is shared, the epoch that placed what follows, and what follows, of one epoch."""
        shared = self.shared(*prev)
        placed, texts = self.epoch_at(min(shared + 1, self.last)), []
        for seq in range(shared + 1, self.last + 1):
            epoch, text = self.entries[seq - 1]
            room -= len(text.encode()) + 1
            if epoch != placed or texts and room < 0:
                break
            texts.append(text)
        return shared, placed, texts
