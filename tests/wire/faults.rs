//! Every fault of the mock: the outcome of each push, and no broken rule.
