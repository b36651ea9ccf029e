//! Any run of the binary.

use super::PATIENCE;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

/// The binary under test, without the settings of whoever runs the tests.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_iaqverse"));
    for (name, _) in std::env::vars() {
        if name.starts_with("IAQ_") || name == "DATABASE_URL" {
            command.env_remove(name);
        }
    }
    command
}

/// Any run of the binary; it is killed when dropped.
pub struct Run {
    process: Child,
    printed: mpsc::Receiver<String>,
    logged: mpsc::Receiver<String>,
}

/// How a run of the binary ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub printed: String,
    pub logged: String,
}

impl Run {
    pub fn of(command: &mut Command) -> Self {
        let mut process = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let printed = lines_of(process.stdout.take().unwrap());
        let logged = lines_of(process.stderr.take().unwrap());
        Self {
            process,
            printed,
            logged,
        }
    }

    /// The next line on standard output.
    pub fn next_printed(&self) -> String {
        self.printed.recv_timeout(PATIENCE).unwrap()
    }

    /// The next line on standard error that contains `text`.
    pub fn logged(&self, text: &str) -> String {
        loop {
            let line = self.logged.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|error| panic!("no line contains {text:?}: {error}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    pub fn interrupt(&self) {
        self.signal("INT");
    }

    pub fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for the end and for everything written before it.
    pub fn ended(mut self) -> Ended {
        let rest = |lines: &mpsc::Receiver<String>| {
            let mut text = String::new();
            loop {
                match lines.recv_timeout(PATIENCE) {
                    Ok(line) => text = text + &line + "\n",
                    Err(mpsc::RecvTimeoutError::Disconnected) => return text,
                    Err(mpsc::RecvTimeoutError::Timeout) => panic!("it does not end: {text}"),
                }
            }
        };
        let (printed, logged) = (rest(&self.printed), rest(&self.logged));
        Ended {
            code: self.process.wait().unwrap().code(),
            printed,
            logged,
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        self.process.kill().unwrap_or_default();
        drop(self.process.wait());
    }
}

/// The lines of a pipe, read by a thread so that whoever writes never waits.
fn lines_of(pipe: impl std::io::Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
