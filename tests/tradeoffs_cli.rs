//! The example `tradeoffs` as a user runs it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The program, which `cargo test` builds beside the tests.
fn tradeoffs() -> Command {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let program = profile.join("examples").join("tradeoffs").with_extension(std::env::consts::EXE_EXTENSION);
    assert!(program.exists(), "`cargo test` builds {}; `cargo build --examples` does too", program.display());
    Command::new(program)
}

fn run(args: &[&str]) -> Output {
    tradeoffs().args(args).stdin(Stdio::null()).output().unwrap()
}

/// A file for one test alone.
fn file(name: &str, contents: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, contents).unwrap();
    path
}

/// Runs on `path`, which must be refused in one line with exit code 2 and nothing on stdout.
fn refused(path: &Path) -> String {
    let output = run(&["--quick", "--table", path.to_str().unwrap()]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with(&format!("tradeoffs: {}: ", path.display())), "{stderr}");
    assert!(output.stdout.is_empty());
    stderr
}

#[test]
fn a_malformed_document_is_refused_with_its_line() {
    let malformed = file("malformed.json", b"{\n  \"a\": 1,\n  \"b\": [1, 2\n}\n");
    let error = refused(&malformed);
    assert!(error.ends_with(": line 4, column 1: expected `,` or `]`\n"), "{error}");
}

#[test]
fn an_empty_document_is_refused_with_its_line() {
    let nothing = refused(&file("nothing.json", b""));
    assert!(nothing.ends_with(": line 1: the document is empty\n"), "{nothing}");
    let no_entries = refused(&file("no-entries.json", b"\n\n{}\n"));
    assert!(no_entries.contains(": line 3: the top level has no entries; "), "{no_entries}");
}

#[test]
fn a_deep_document_is_refused_with_its_line() {
    let error = refused(&file("deep.json", format!("[1,\n{}", "[".repeat(1_000_000)).as_bytes()));
    assert!(error.contains(": line 2, column 100: nested deeper than 100 levels"), "{error}");
}

#[test]
fn a_huge_document_is_refused_with_its_line() {
    let path = file("huge.json", b"{\n\"a\":\n");
    // Sparse: it takes no room on the disk.
    File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
    let error = refused(&path);
    std::fs::remove_file(&path).unwrap();
    assert!(error.contains(": line 3: here the document passes 64 MiB"), "{error}");
    assert!(error.contains("split it"), "{error}");
}

#[test]
fn a_document_that_can_not_be_read_is_refused() {
    let error = refused(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-such.json"));
    assert!(error.contains("can't be read"), "{error}");
    assert!(refused(Path::new(env!("CARGO_TARGET_TMPDIR"))).contains("can't be read"));
}

#[test]
fn unknown_arguments_are_refused_and_help_is_not() {
    let unknown = run(&["--quick", "--tabel", "x.json"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert_eq!(
        String::from_utf8(unknown.stderr).unwrap(),
        "tradeoffs: unknown argument --tabel; --help lists the arguments\n"
    );
    let help = run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(String::from_utf8(help.stdout).unwrap().contains("--table FILE"));
}

#[test]
fn a_small_table_of_the_users_gives_an_object_per_row() {
    let path = file("small.json", br#"["zero", {"one": [1, 1.5, true, null]}]"#);
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report").join("deep");
    let _ = std::fs::remove_dir_all(&dir);
    let report = format!("--report={}", dir.display());
    let output = run(&["--quick", "--json", &report, "--table", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(std::fs::read_to_string(dir.join("index.html")).unwrap().contains("<svg"));
    let lines = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let tables: Vec<_> = rows.iter().filter(|row| row["section"] == "table").collect();
    assert_eq!(tables.len(), 8);
    for row in tables {
        for (key, figure) in row.as_object().unwrap() {
            let is_figure = !["section", "row", "reasons", "note"].contains(&key.as_str());
            let least = if key == "collections" { 0.0 } else { f64::MIN_POSITIVE };
            // A table this small can be had 100,000 times.
            assert!(!is_figure || figure.as_f64().is_some_and(|figure| figure >= least), "{key} in {row}");
        }
    }
    for (section, count) in [("sends", 9), ("counting", 6), ("latency", 3), ("further", 18)] {
        assert_eq!(rows.iter().filter(|row| row["section"] == section).count(), count, "{section}");
    }
    for row in &rows {
        for (key, figure) in row.as_object().unwrap() {
            assert!(!figure.is_null() || row["reasons"][key].is_string(), "{key} in {row}");
        }
    }
    assert!(!output.stderr.is_empty(), "progress is shown");
}
