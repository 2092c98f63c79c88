//! One HTML page with everything that was measured: self-contained, light or dark, wide or narrow.

mod page;
mod plots;
mod sentences;

use std::fs;
use std::path::{Path, PathBuf};

use crate::document::Document;
use crate::rows::Measured;

/// Writes the page into `dir`, which is made if it isn't there, and gives its path.
pub(crate) fn write(dir: &Path, document: &Document, measured: &Measured) -> Result<PathBuf, String> {
    let page = page::html(document, measured)?;
    let path = dir.join("index.html");
    let written = fs::create_dir_all(dir).and_then(|()| fs::write(&path, page));
    written.map_err(|error| format!("{} can't be written: {error}", path.display()))?;
    Ok(path)
}
