//! The record of a task: the encoded wire message `Task`.
