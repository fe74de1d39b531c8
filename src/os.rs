//! What the operating system gives: random ids and open files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::limits::OPEN_FILES_RESERVED;

/// Returns `BYTES` random bytes as lowercase hexadecimal digits, two for each byte.
pub(crate) fn random_hex<const BYTES: usize>() -> Result<String, getrandom::Error> {
    let mut random = [0; BYTES];
    getrandom::fill(&mut random)?;
    Ok(hex(&random))
}

/// Returns lowercase hexadecimal digits, two for each byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Raises the soft limit of open files to the hard limit. Returns how many connections that
/// allows beside the files that the process needs for itself.
pub fn raise_open_files() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let shown = |limit: Option<u64>| limit.map_or_else(|| "no limit".to_owned(), |n| n.to_string());
    let allowed = match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) if current == maximum => {
            log::info!("open files: {}, the hard limit", shown(maximum));
            maximum
        }
        Ok(()) => {
            log::info!("open files: raised from {} to {}", shown(current), shown(maximum));
            maximum
        }
        Err(e) => {
            log::warn!("open files: {}; cannot raise the limit: {e}", shown(current));
            current
        }
    };
    let allowed = allowed.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
    allowed.saturating_sub(OPEN_FILES_RESERVED)
}
