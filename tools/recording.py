"""Reads the trades of a recorded session."""

import gzip
import json


def trades(recording, minutes):
    """Each trade once, by symbol and id: its time in ms, moved by so many minutes, price, quantity and whether the buyer is the maker."""
    found = {}
    with (gzip.open if recording.endswith(".gz") else open)(recording, "rt") as lines:
        for line in lines:
            message = json.loads(line.split(" ", 1)[1])
            trade = message.get("data", message)
            if trade.get("e") == "trade":
                time = trade["T"] + minutes * 60_000
                found[trade["s"], trade["t"]] = (time, trade["p"], trade["q"], trade["m"])
    return found
