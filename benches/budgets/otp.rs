//! How rows use Erlang's VMs.

use std::thread;

use crate::vm::{COOL_DOWN, DEFAULT_PROCESSES, Installed, Module, Vm};

const BUDGETS: Module =
    Module { name: "budgets", source: include_str!("../otp/budgets.erl"), defines: &[], schedulers: 2 };

/// How a row uses VMs.
#[derive(Clone, Copy)]
pub(crate) enum Lease {
    /// Shares one VM with the other rows.
    Shared,
    /// Has one of its own, kept over its runs: its price depends on what else is in the VM. So it does on the size of
    /// the process table, which OTP walks when it replaces a term: a row gets the default size if that is enough.
    Own { processes: u32 },
    /// As [`Own`](Self::Own), for a population that there is no room for twice: our side runs when the VM has ended.
    Alone { processes: u32 },
    /// Measures memory: a new VM for each run.
    EachRun { processes: u32 },
}

/// An installed Erlang with the compiled module, or why there is none.
pub(crate) struct Erlang {
    installed: Result<Installed, String>,
    version: String,
    shared: Option<Vm>,
}

impl Erlang {
    pub(crate) fn find() -> Erlang {
        let mut erlang = Erlang { installed: Installed::compile(BUDGETS), version: String::new(), shared: None };
        if let Ok(installed) = &erlang.installed {
            match Vm::start(installed, DEFAULT_PROCESSES) {
                Ok(vm) => {
                    erlang.version.clone_from(&vm.version);
                    erlang.shared = Some(vm);
                }
                Err(why) => erlang.installed = Err(why),
            }
        }
        erlang
    }

    pub(crate) fn describe(&self) -> String {
        match &self.installed {
            Ok(_) => self.version.clone(),
            Err(why) => format!("no Erlang: {why}"),
        }
    }

    /// A contender for one row. It borrows no VM: each of its runs passes `self` again.
    pub(crate) fn contender(&self, row: &'static str, n: u64, lease: Lease) -> Result<Contender, String> {
        self.installed.as_ref().map_err(Clone::clone)?;
        Ok(Contender { row, n, lease, own: None })
    }

    fn start(&self, processes: u32) -> Result<Vm, String> {
        Vm::start(self.installed.as_ref().map_err(Clone::clone)?, processes)
    }
}

pub(crate) struct Contender {
    row: &'static str,
    n: u64,
    lease: Lease,
    own: Option<Vm>,
}

impl Contender {
    /// One run: nanoseconds per operation, or bytes.
    pub(crate) fn sample(&mut self, erlang: &mut Erlang) -> Result<f64, String> {
        let mut vm = match self.lease {
            Lease::Shared => erlang.shared.take().map_or_else(|| erlang.start(DEFAULT_PROCESSES), Ok)?,
            Lease::Own { processes } | Lease::Alone { processes } => {
                self.own.take().map_or_else(|| erlang.start(processes), Ok)?
            }
            Lease::EachRun { processes } => erlang.start(processes)?,
        };
        // A VM that hangs or died is dropped, which ends it; the next run starts another one.
        let answer = vm.run(self.row, self.n)?;
        match self.lease {
            Lease::Shared => erlang.shared = Some(vm),
            Lease::Own { .. } | Lease::Alone { .. } => self.own = Some(vm),
            Lease::EachRun { .. } => drop(vm),
        }
        thread::sleep(COOL_DOWN);
        answer
    }
}
