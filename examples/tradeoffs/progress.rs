//! What is being measured, on stderr: one line that is rewritten on a terminal, a line per row elsewhere.

use std::cell::Cell;
use std::io::{IsTerminal, Write};

pub(crate) struct Progress {
    terminal: bool,
    rows: usize,
    row: Cell<(usize, &'static str)>,
}

impl Progress {
    pub(crate) fn new(rows: usize) -> Self {
        Self { terminal: std::io::stderr().is_terminal(), rows, row: Cell::new((0, "")) }
    }

    pub(crate) fn row(&self, name: &'static str) {
        self.row.set((self.row.get().0 + 1, name));
        if self.terminal {
            self.step("");
        } else {
            self.write(&format!("{}\n", self.line("")));
        }
    }

    pub(crate) fn step(&self, what: &str) {
        if self.terminal {
            self.write(&format!("\r\x1b[K{}", self.line(what)));
        }
    }

    fn line(&self, what: &str) -> String {
        let (nth, name) = self.row.get();
        let colon = if what.is_empty() { "" } else { ": " };
        format!("[{nth}/{}] {name}{colon}{what}", self.rows)
    }

    #[expect(clippy::unused_self, reason = "there is one writer of progress")]
    fn write(&self, text: &str) {
        // A closed stderr is no reason to stop measuring.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.terminal {
            self.write("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_which_row_of_how_many_and_what() {
        let progress = Progress { terminal: false, rows: 3, row: Cell::new((2, "a row")) };
        assert_eq!(progress.line(""), "[2/3] a row");
        assert_eq!(progress.line("reads"), "[2/3] a row: reads");
    }
}
