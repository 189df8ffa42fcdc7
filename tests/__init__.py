"""The suite. A directory mirrors its room of the source; `model` is the ground truth that rooms are held against."""
