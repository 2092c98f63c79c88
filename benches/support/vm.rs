//! The Erlang side: finds and compiles a module of `benches/otp`, starts VMs, and asks them for runs.
//!
//! Such a module has a `main/0` that says `ready RELEASE ERTS ..`, and answers each line `ROW N` with `ok VALUE` or
//! `error WHY`: it leaves that to `commands.erl`, which is compiled with each.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A VM with a million processes needs seconds for a run; one that needs minutes hangs.
const PATIENCE: Duration = Duration::from_secs(120);
const PATIENCE_AT_START: Duration = Duration::from_secs(30);

/// After a run the VM's schedulers spin for a while before they sleep; nobody else measures until they do.
pub(crate) const COOL_DOWN: Duration = Duration::from_millis(10);

/// OTP's default process limit.
pub(crate) const DEFAULT_PROCESSES: u32 = 1 << 18;

/// The module by which all others serve.
const COMMANDS: (&str, &str) = ("commands", include_str!("../otp/commands.erl"));

/// An Erlang module that serves runs.
#[derive(Clone, Copy)]
pub(crate) struct Module {
    pub(crate) name: &'static str,
    pub(crate) source: &'static str,
    /// Macros that it is compiled with.
    pub(crate) defines: &'static [(&'static str, u64)],
    pub(crate) schedulers: usize,
}

/// An installed Erlang with the compiled module.
pub(crate) struct Installed {
    module: Module,
    directory: PathBuf,
}

impl Drop for Installed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Installed {
    pub(crate) fn compile(module: Module) -> Result<Installed, String> {
        let Module { name, source: text, defines, .. } = module;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let directory = std::env::temp_dir().join(format!("shared-term-{name}-{}-{now}", std::process::id()));
        fs::create_dir(&directory).map_err(|e| format!("cannot make {}: {e}", directory.display()))?;
        let installed = Installed { module, directory };
        let mut sources = Vec::new();
        for (name, text) in [(name, text), COMMANDS] {
            let source = installed.directory.join(format!("{name}.erl"));
            fs::write(&source, text).map_err(|e| format!("cannot write {}: {e}", source.display()))?;
            sources.push(source);
        }
        if !starts("erl") {
            return Err("`erl` is not on the path".to_string());
        }
        let mut compiler = command("erlc")
            .args(defines.iter().map(|(name, value)| format!("-D{name}={value}")))
            .arg("-o")
            .arg(&installed.directory)
            .args(&sources)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("`erlc` cannot be started: {e}"))?;
        let start = Instant::now();
        loop {
            match compiler.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(installed),
                Ok(Some(status)) => return Err(format!("`erlc` fails: {status}")),
                Ok(None) if start.elapsed() < PATIENCE_AT_START => thread::sleep(Duration::from_millis(10)),
                Ok(None) | Err(_) => {
                    let _ = compiler.kill();
                    let _ = compiler.wait();
                    return Err(format!("`erlc` is silent for {} s", PATIENCE_AT_START.as_secs()));
                }
            }
        }
    }
}

/// Can the program be started at all? What it would do is not waited for.
fn starts(program: &str) -> bool {
    let child = command(program).arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    child.is_ok_and(|mut child| {
        let _ = child.kill();
        child.wait().is_ok()
    })
}

/// A command that the user's own settings for Erlang do not change.
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    for setting in ["ERL_FLAGS", "ERL_AFLAGS", "ERL_ZFLAGS", "ERL_LIBS", "ERLC_OPTS", "ERL_COMPILER_OPTIONS"] {
        command.env_remove(setting);
    }
    command.env("ERL_CRASH_DUMP_SECONDS", "0").stdin(Stdio::null());
    command
}

/// One running `erl`. Dropping it ends it.
pub(crate) struct Vm {
    child: Child,
    commands: ChildStdin,
    answers: Receiver<String>,
    pub(crate) version: String,
}

impl Drop for Vm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Vm {
    pub(crate) fn start(installed: &Installed, processes: u32) -> Result<Vm, String> {
        let Module { name, schedulers, .. } = installed.module;
        let mut child = command("erl")
            .args(["-noshell", "-boot", "no_dot_erlang", "-kernel", "logger_level", "none"])
            .args(["+S", &format!("{schedulers}:{schedulers}"), "+P", &processes.to_string()])
            .arg("-pa")
            .arg(&installed.directory)
            .args(["-s", name, "main"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("`erl` cannot be started: {e}"))?;
        let (Some(commands), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("`erl` has no pipes".to_string());
        };
        let (to_answers, answers) = mpsc::channel();
        // Reading in a thread is what makes a timeout possible; it ends with the VM's output.
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if to_answers.send(line).is_err() {
                    return;
                }
            }
        });
        let mut vm = Vm { child, commands, answers, version: String::new() };
        let ready = vm.answer("ready", PATIENCE_AT_START)?;
        let mut words = ready.split(' ').skip(1);
        let (release, erts) = (words.next().unwrap_or("?"), words.next().unwrap_or("?"));
        vm.version = format!("OTP {release} (erts {erts}), {schedulers} schedulers");
        Ok(vm)
    }

    /// The outer error is the VM's end, the inner one a run that failed.
    pub(crate) fn run(&mut self, row: &str, n: u64) -> Result<Result<f64, String>, String> {
        writeln!(self.commands, "{row} {n}")
            .and_then(|()| self.commands.flush())
            .map_err(|e| format!("`erl` is gone: {e}"))?;
        let answer = self.answer("ok", PATIENCE)?;
        Ok(match answer.split_once(' ') {
            Some(("ok", value)) => value.parse().map_err(|_| format!("`erl` answers `{answer}`")),
            _ => Err(format!("`erl` answers `{answer}`")),
        })
    }

    /// The next line that begins with `word` or is an error; others are noise that Erlang may print.
    fn answer(&mut self, word: &str, patience: Duration) -> Result<String, String> {
        loop {
            match self.answers.recv_timeout(patience) {
                Ok(line) if line.starts_with(word) || line.starts_with("error ") => return Ok(line),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return Err(format!("`erl` is silent for {} s", patience.as_secs())),
                Err(RecvTimeoutError::Disconnected) => return Err("`erl` ended".to_string()),
            }
        }
    }
}
