//! This process as the kernel counts it, under the names that Prometheus' own clients have; nothing
//! where there is no `/proc`.

use super::as_f64;
use std::fmt::Write;
use std::fs;

/// Parts of a second that the kernel counts processor time and start in (`USER_HZ`, proc(5)): the
/// same on all its platforms that matter here.
const TICKS_PER_SECOND: f64 = 100.0;
const KIB: f64 = 1024.0;

/// The lines of the page.
pub(super) fn lines() -> String {
    let mut page = String::new();
    let mut add = |name: &str, value: Option<f64>| {
        let Some(value) = value else { return };
        if let Some(measure) = super::names::of(name) {
            let (kind, meaning) = (measure.kind.as_str(), measure.meaning);
            // Writing to a text cannot fail.
            write!(
                page,
                "# HELP {name} {meaning}\n# TYPE {name} {kind}\n{name} {value}\n\n"
            )
            .unwrap_or_default();
        }
    };
    let stat = fs::read_to_string("/proc/self/stat").ok();
    let stat = stat.as_deref().and_then(behind_name);
    let ticks = |number: usize| number_at(stat?, number);
    let cpu = ticks(UTIME).zip(ticks(STIME));
    let cpu = cpu.map(|(user, system)| (user + system) / TICKS_PER_SECOND);
    add("process_cpu_seconds_total", cpu);
    let status = fs::read_to_string("/proc/self/status").ok();
    let memory = |name| Some(KIB * value_of(status.as_deref()?, name)?);
    add("process_resident_memory_bytes", memory("VmRSS:"));
    add("process_virtual_memory_bytes", memory("VmSize:"));
    let open = fs::read_dir("/proc/self/fd").ok();
    // The folder that is read is one of them.
    let open = open.map(|files| as_f64(files.count().saturating_sub(1)));
    add("process_open_fds", open);
    let limits = fs::read_to_string("/proc/self/limits").ok();
    let limit = limits.and_then(|limits| value_of(&limits, "Max open files"));
    add("process_max_fds", limit);
    let booted = fs::read_to_string("/proc/stat").ok();
    let booted = booted.and_then(|stat| value_of(&stat, "btime"));
    let started = booted.zip(ticks(STARTTIME));
    let started = started.map(|(booted, ticks)| booted + ticks / TICKS_PER_SECOND);
    add("process_start_time_seconds", started);
    page
}

/// Fields of `/proc/self/stat` behind the name of the program (`proc_pid_stat(5)`, from its third on).
const UTIME: usize = 14 - 3;
const STIME: usize = 15 - 3;
const STARTTIME: usize = 22 - 3;

/// The name is in parentheses and may have anything in it.
fn behind_name(stat: &str) -> Option<&str> {
    Some(stat.rsplit_once(')')?.1)
}

fn number_at(fields: &str, number: usize) -> Option<f64> {
    fields.split_whitespace().nth(number)?.parse().ok()
}

/// The first number in the line that begins with `name`.
fn value_of(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(page: &str, name: &str) -> f64 {
        value_of(page, &format!("{name} ")).unwrap()
    }

    #[test]
    fn the_process_is_seen_as_the_kernel_counts_it() {
        let file = fs::File::open("/proc/self/exe").unwrap();
        let page = lines();
        let resident = value(&page, "process_resident_memory_bytes");
        assert!(resident > 1e6 && resident < value(&page, "process_virtual_memory_bytes"));
        let open = value(&page, "process_open_fds");
        assert!(open >= 4.0 && open < value(&page, "process_max_fds"));
        drop(file);
        let started = value(&page, "process_start_time_seconds");
        let meta = fs::metadata("/proc/self").unwrap().modified().unwrap();
        let now = meta.duration_since(std::time::UNIX_EPOCH).unwrap();
        let age = now.as_secs_f64() - started;
        assert!((-2.0..3600.0).contains(&age), "{age}");
        assert!(value(&page, "process_cpu_seconds_total") < 3600.0);
    }

    #[test]
    fn a_name_with_parentheses_and_blanks_moves_no_field() {
        let fields = behind_name("1 (a) b) S 2 3").unwrap();
        assert_eq!(number_at(fields, 1), Some(2.0));
    }
}
