//! The README's tour is what a user sees.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::daemon::Daemon;

/// Times differ between runs, also in length: in a line that holds one, every number is 0.
fn timeless(line: &str) -> String {
    let has_time = line.contains("20") && line.matches(':').count() >= 2;
    if !has_time {
        return line.to_owned();
    }
    let mut zeros: Vec<char> =
        line.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    zeros.dedup_by(|c, before| *c == '0' && *before == '0');
    zeros.into_iter().collect()
}

#[test]
fn the_tour_prints_what_the_readme_shows() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path(), &[]);
    let programs = Path::new(env!("CARGO_BIN_EXE_todo")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let tour = readme.split("```console\n").nth(1).unwrap().split("```").next().unwrap();
    let steps: Vec<_> = tour.split("$ ").skip(1).filter_map(|s| s.split_once('\n')).collect();
    assert!(steps.len() > 8, "the test found only {steps:?}");
    for (command, shown) in steps {
        let out = Command::new("sh")
            .args(["-c", &format!("{{ {command}; }} 2>&1")])
            .env("PATH", &path)
            .env("TODO_SERVER", &daemon.address)
            .env("TZ", "UTC")
            .output()
            .unwrap();
        let said = String::from_utf8(out.stdout).unwrap();
        let said: Vec<_> = said.lines().map(timeless).collect();
        let shown: Vec<_> = shown.lines().map(timeless).collect();
        assert_eq!(said, shown, "{command}");
    }
}
