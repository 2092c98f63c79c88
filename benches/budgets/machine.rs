//! What the figures were taken on, and how busy it was.

use std::fs;

pub(crate) fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or_else(|_| "?".to_string(), |n| n.to_string());
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, model)| model.trim()))
        .unwrap_or(std::env::consts::ARCH);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<_> = load.split_whitespace().take(3).collect();
    let load = if load.is_empty() { "unknown".to_string() } else { load.join(" ") };
    format!("{cores} cores, {model}, load {load}")
}

/// Processor time since the machine started, in ticks: of everybody, and what a hypervisor gave to other machines.
pub(crate) struct Usage(Option<Ticks>);

struct Ticks {
    busy: u64,
    stolen: u64,
}

impl Usage {
    pub(crate) fn now() -> Usage {
        Usage(ticks())
    }

    /// A sentence on how much of the processor time was not ours to use. A high share explains a wide spread.
    pub(crate) fn since(&self) -> String {
        let (Some(start), Some(end)) = (&self.0, ticks()) else { return String::new() };
        let (busy, stolen) = (end.busy - start.busy, end.stolen - start.stolen);
        let share = (100 * stolen).checked_div(busy + stolen);
        share.map_or(String::new(), |share| format!("stolen     {share} % of the processor time, by the hypervisor"))
    }
}

fn ticks() -> Option<Ticks> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let columns: Vec<u64> = stat.lines().next()?.split_whitespace().skip(1).map_while(|n| n.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal
    let busy = [0, 1, 2, 5, 6].into_iter().filter_map(|i| columns.get(i)).sum();
    Some(Ticks { busy, stolen: *columns.get(7)? })
}
