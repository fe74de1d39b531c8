//! Numbers with their nouns.

use std::fmt::Display;

/// Returns `1 task` or `2 tasks`.
pub fn counted<N: Display + PartialEq + From<u8>>(n: N, one: &str, many: &str) -> String {
    let noun = if n == N::from(1) { one } else { many };
    format!("{n} {noun}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_singular() {
        for (n, expected) in [(0, "0 tasks"), (1, "1 task"), (2, "2 tasks"), (21, "21 tasks")] {
            assert_eq!(counted(n, "task", "tasks"), expected);
        }
    }
}
