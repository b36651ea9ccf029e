//! The floors of the house: a module names only modules on floors below its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// From the ground up. ARCHITECTURE.md says what each of them is for.
const FLOORS: [&[&str]; 11] = [
    &["domain", "fault", "host", "private_files", "shutdown"],
    &["clock", "database", "payload", "score"],
    &["documents", "simulate", "validate"],
    &["store"],
    &["http", "wire"],
    &["access"],
    &["read_budget"],
    &["broadcast", "models", "pipeline", "query", "webhook"],
    &["config", "ingest", "registry"],
    &["server"],
    &["commands"],
];
/// The rooms that know the command line.
const KNOW_CLAP: [&str; 2] = ["config", "commands"];

/// The code of every file below `path`, without comments, by top-level module.
fn sources(path: &Path, module: &str, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let module = if module.is_empty() { stem } else { module };
        if path.is_dir() {
            sources(&path, module, found);
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code = text.lines().map(|line| line.split("//").next().unwrap());
        let all = found.entry(module.to_owned()).or_default();
        all.extend(code.flat_map(|line| [line, "\n"]));
    }
}

/// The names that follow `crate::` in some code.
fn named(code: &str) -> impl Iterator<Item = &str> {
    code.split("crate::").skip(1).flat_map(|rest| {
        let group = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let names = group.map_or(rest, |(group, _)| group);
        let count = if group.is_some() { usize::MAX } else { 1 };
        let words = names.split(|character: char| !character.is_alphanumeric() && character != '_');
        words.filter(|word| !word.is_empty()).take(count)
    })
}

#[test]
fn a_module_names_only_modules_on_floors_below_its_own() {
    let mut code = BTreeMap::new();
    sources(
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")),
        "",
        &mut code,
    );
    for root in ["lib", "main"] {
        assert!(code.remove(root).is_some());
    }
    let floor_of = |module: &str| FLOORS.iter().position(|floor| floor.contains(&module));
    let mut breaches = Vec::new();
    for (module, code) in &code {
        let Some(floor) = floor_of(module) else {
            breaches.push(format!("{module} is on no floor"));
            continue;
        };
        for name in named(code).filter(|name| *name != module) {
            if floor_of(name).is_some_and(|below| below >= floor) {
                breaches.push(format!("{module} names {name}"));
            }
        }
        if code.contains("clap::") && !KNOW_CLAP.contains(&module.as_str()) {
            breaches.push(format!("{module} knows the command line"));
        }
    }
    breaches.dedup();
    assert!(breaches.is_empty(), "{breaches:#?}");
    for module in FLOORS.concat() {
        assert!(code.contains_key(module), "there is no {module}");
    }
}
