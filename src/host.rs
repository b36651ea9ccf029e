//! Processor, memory, disk, network and this process, as the operating system counts them.

use parking_lot::Mutex;
use serde::Serialize;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};
use sysinfo::{
    CpuRefreshKind, Disks, MemoryRefreshKind, Networks, Pid, ProcessRefreshKind, ProcessesToUpdate,
    RefreshKind, System,
};

/// Host metrics, read at most once a second however many ask.
pub struct Host(Mutex<Readings>);

struct Readings {
    /// What the operating system does not tell is `None`.
    system: Option<System>,
    disks: Option<Disks>,
    networks: Option<Networks>,
    read: Option<(Instant, Metrics)>,
}

/// Nobody is told anything older; a processor's load is a mean over at least this long.
const AGE_MAX: Duration = Duration::from_secs(1);
const MIB: f64 = 1024.0 * 1024.0;
const GIB: f64 = 1024.0 * MIB;

/// One look at the host. Sizes are in binary units (MiB, GiB); what the operating system does not
/// tell is `null`.
#[derive(Debug, Clone, Serialize)]
pub struct Metrics {
    cpu: Option<Cpu>,
    memory: Option<Memory>,
    disk: Option<Disk>,
    network: Option<Network>,
    process: Option<Process>,
    /// Means over 1, 5 and 15 minutes.
    load_average: Option<[f64; 3]>,
    uptime_s: Option<u64>,
}

#[derive(Debug, Clone, Serialize)]
struct Cpu {
    percent_total: f64,
    percent_per_core: Vec<f64>,
    count: usize,
    frequency_mhz: u64,
}

#[derive(Debug, Clone, Serialize)]
struct Memory {
    percent: f64,
    total_mb: f64,
    available_mb: f64,
    used_mb: f64,
}

/// The file system of the root folder.
#[derive(Debug, Clone, Serialize)]
struct Disk {
    percent: f64,
    total_gb: f64,
    used_gb: f64,
    free_gb: f64,
}

/// All interfaces but loopback, since the machine started.
#[derive(Debug, Clone, Serialize)]
struct Network {
    bytes_sent_mb: f64,
    bytes_recv_mb: f64,
}

/// This server.
#[derive(Debug, Clone, Serialize)]
struct Process {
    memory_mb: f64,
    cpu_percent: f64,
}

impl Default for Host {
    fn default() -> Self {
        let wanted = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::everything())
            .with_memory(MemoryRefreshKind::everything());
        Self(Mutex::new(Readings {
            system: System::new_with_specifics(wanted).ok(),
            disks: Disks::new_with_refreshed_list().ok(),
            networks: Networks::new_with_refreshed_list().ok(),
            read: None,
        }))
    }
}

impl Host {
    /// Metrics at most a second old. The first look sees the time since the server started.
    pub fn metrics(&self) -> Metrics {
        let mut readings = self.0.lock();
        if let Some((at, metrics)) = &readings.read
            && at.elapsed() < AGE_MAX
        {
            return metrics.clone();
        }
        let metrics = readings.look();
        readings.read = Some((Instant::now(), metrics.clone()));
        metrics
    }
}

impl Readings {
    fn look(&mut self) -> Metrics {
        let myself = Pid::from_u32(std::process::id());
        if let Some(system) = &mut self.system {
            system.refresh_cpu_all();
            system.refresh_memory();
            system.refresh_processes_specifics(
                ProcessesToUpdate::Some(&[myself]),
                false,
                ProcessRefreshKind::nothing().with_cpu().with_memory(),
            );
        }
        if let Some(disks) = &mut self.disks {
            disks.refresh(false);
        }
        if let Some(networks) = &mut self.networks {
            networks.refresh(false);
        }
        let system = self.system.as_ref();
        Metrics {
            cpu: system.map(cpu),
            memory: system.map(memory),
            disk: self.disks.as_ref().and_then(disk),
            network: self.networks.as_ref().map(network),
            process: system
                .and_then(|system| system.process(myself))
                .map(process),
            load_average: System::load_average()
                .ok()
                .map(|load| [load.one, load.five, load.fifteen]),
            uptime_s: System::uptime().ok(),
        }
    }
}

fn cpu(system: &System) -> Cpu {
    let cores = system.cpus();
    Cpu {
        percent_total: tenths(f64::from(system.global_cpu_usage())),
        percent_per_core: cores
            .iter()
            .map(|core| tenths(core.usage().into()))
            .collect(),
        count: cores.len(),
        frequency_mhz: cores.first().map_or(0, sysinfo::Cpu::frequency),
    }
}

fn memory(system: &System) -> Memory {
    let total = bytes(system.total_memory());
    let available = bytes(system.available_memory());
    Memory {
        percent: percent(total - available, total),
        total_mb: tenths(total / MIB),
        available_mb: tenths(available / MIB),
        used_mb: tenths((total - available) / MIB),
    }
}

fn disk(disks: &Disks) -> Option<Disk> {
    let root = disks
        .iter()
        .find(|disk| disk.mount_point() == Path::new("/"))?;
    let total = bytes(root.total_space());
    let free = bytes(root.available_space());
    Some(Disk {
        percent: percent(total - free, total),
        total_gb: tenths(total / GIB),
        used_gb: tenths((total - free) / GIB),
        free_gb: tenths(free / GIB),
    })
}

fn network(networks: &Networks) -> Network {
    let outside = || networks.iter().filter(|(name, _)| *name != "lo");
    let sent: f64 = outside()
        .map(|(_, data)| bytes(data.total_transmitted()))
        .sum();
    let received: f64 = outside()
        .map(|(_, data)| bytes(data.total_received()))
        .sum();
    Network {
        bytes_sent_mb: tenths(sent / MIB),
        bytes_recv_mb: tenths(received / MIB),
    }
}

fn process(process: &sysinfo::Process) -> Process {
    Process {
        memory_mb: tenths(bytes(process.memory()) / MIB),
        cpu_percent: tenths(f64::from(process.cpu_usage())),
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Host").finish_non_exhaustive()
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "sizes far below 2^53 bytes, shown in tenths"
)]
fn bytes(count: u64) -> f64 {
    count as f64
}

fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 {
        tenths(100.0 * part / whole)
    } else {
        0.0
    }
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_seen_as_the_kernel_counts_it() {
        let read = |path: &str| std::fs::read_to_string(path).unwrap();
        let kib = |text: &str, name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap()
                .trim_end_matches(" kB")
                .trim()
                .parse()
                .unwrap()
        };
        let metrics = Host::default().metrics();
        let (cpu, memory) = (metrics.cpu.unwrap(), metrics.memory.unwrap());
        let cores = read("/proc/cpuinfo");
        let cores = cores.lines().filter(|line| line.starts_with("processor"));
        assert_eq!(cpu.count, cores.count());
        assert_eq!(cpu.percent_per_core.len(), cpu.count);
        let total_mb = kib(&read("/proc/meminfo"), "MemTotal:") / 1024.0;
        assert!((memory.total_mb - total_mb).abs() <= 0.1, "{total_mb}");
        let used_mb = memory.total_mb - memory.available_mb;
        assert!((memory.used_mb - used_mb).abs() <= 0.2, "{memory:?}");
        let resident_mb = kib(&read("/proc/self/status"), "VmRSS:") / 1024.0;
        let process = metrics.process.unwrap();
        assert!(
            (process.memory_mb - resident_mb).abs() < 32.0,
            "{resident_mb} {process:?}"
        );
    }
}
