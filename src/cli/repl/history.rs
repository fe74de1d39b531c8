use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use directories::ProjectDirs;
use rustyline::Editor;
use rustyline::history::FileHistory;

use super::assist::Assist;
use crate::cli::output::Out;

/// The file of the lines that were typed, readable by its owner alone. A failure is reported
/// once; then the session continues without the file.
pub(super) struct HistoryFile(Option<PathBuf>);

impl HistoryFile {
    pub(super) fn load(editor: &mut Editor<Assist, FileHistory>, out: &mut Out) -> HistoryFile {
        let Some(dirs) = ProjectDirs::from("", "", "todo") else {
            out.message("no home directory: the history is not saved");
            return HistoryFile(None);
        };
        let dir = dirs.state_dir().unwrap_or(dirs.data_dir());
        let path = dir.join("history");
        let mut file = HistoryFile(Some(path.clone()));
        let loaded = create(dir, &path).map_err(Into::into);
        file.check(loaded.and_then(|()| editor.load_history(&path)), out);
        file
    }

    pub(super) fn append(&mut self, editor: &mut Editor<Assist, FileHistory>, out: &mut Out) {
        if let Some(path) = &self.0 {
            let appended = editor.append_history(path);
            self.check(appended, out);
        }
    }

    fn check(&mut self, done: rustyline::Result<()>, out: &mut Out) {
        if let (Err(e), Some(path)) = (done, &self.0) {
            out.message(&format!("the history is not saved: {}: {e}", path.display()));
            self.0 = None;
        }
    }
}

/// Makes the file if it is missing, readable by its owner alone from the start.
fn create(dir: &Path, path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    Ok(())
}
