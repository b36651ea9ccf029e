//! Delivers batches one after another, however long it takes.

use std::time::Duration;

use tokio::time::sleep;

use super::http::{Answer, Transport};
use super::random::{Purpose, Random};
use super::reading::SimulatedReading;

const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Longest pause a server can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(5);

/// Sends through a transport and says in the log, once each, when that stops and resumes working.
#[derive(Debug)]
pub(super) struct Courier<T> {
    transport: T,
    jitter: Random,
    state: Link,
}

/// How the last attempt went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Working,
    /// The server is away or busy.
    Down,
    /// The server answers but does not take all readings.
    Refusing,
}

impl<T: Transport> Courier<T> {
    pub(super) fn new(transport: T, seed: u64) -> Self {
        let jitter = Random::new(seed, 0, Purpose::RetryJitter, 0);
        Self {
            transport,
            jitter,
            state: Link::Working,
        }
    }

    /// Sends a batch until the server has taken or refused it.
    ///
    /// Cancelled, the batch may or may not have arrived; sending it again does no harm.
    pub(super) async fn deliver(&mut self, batch: &[SimulatedReading]) {
        let body = match serde_json::to_vec(batch) {
            Ok(body) => body,
            Err(error) => {
                tracing::error!(%error, "simulated readings do not serialise");
                return;
            }
        };
        let mut pause = PAUSE_MIN;
        loop {
            match self.transport.send(body.clone()).await {
                Answer::Stored { refused: 0, .. } => return self.note_working(),
                Answer::Stored { refused, detail } => {
                    return self.note_refused(refused, &detail);
                }
                Answer::Refused { detail } => return self.note_refused(batch.len(), &detail),
                Answer::Retry { after, detail } => {
                    self.note_down(&detail);
                    // Between half and all of the pause, so that simulators do not march in step.
                    let own = pause.mul_f64(self.jitter.between(0.5, 1.0));
                    let asked = after.unwrap_or_default().min(RETRY_AFTER_MAX);
                    sleep(own.max(asked)).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    fn note_working(&mut self) {
        if self.state != Link::Working {
            tracing::info!("server takes simulated readings again");
        }
        self.state = Link::Working;
    }

    fn note_refused(&mut self, count: usize, detail: &str) {
        if self.state == Link::Refusing {
            tracing::debug!(count, detail, "server refused simulated readings");
        } else {
            tracing::warn!(count, detail, "server refused simulated readings");
        }
        self.state = Link::Refusing;
    }

    fn note_down(&mut self, detail: &str) {
        if self.state == Link::Down {
            tracing::debug!(detail, "server still takes no simulated readings");
        } else {
            tracing::warn!(
                detail,
                "server takes no simulated readings, will keep trying"
            );
        }
        self.state = Link::Down;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use tokio::time::Instant;

    use super::*;

    /// Transport that gives prepared answers, then takes everything.
    #[derive(Debug, Default)]
    pub(in crate::simulate) struct Scripted {
        pub(in crate::simulate) answers: Mutex<VecDeque<Answer>>,
        pub(in crate::simulate) sent: Mutex<Vec<(Instant, Vec<u8>)>>,
    }

    impl Transport for &Scripted {
        async fn send(&self, body: Vec<u8>) -> Answer {
            self.sent.lock().unwrap().push((Instant::now(), body));
            let taken = Answer::Stored {
                refused: 0,
                detail: String::new(),
            };
            self.answers.lock().unwrap().pop_front().unwrap_or(taken)
        }
    }

    pub(in crate::simulate) fn retry(after: Option<u64>) -> Answer {
        Answer::Retry {
            after: after.map(Duration::from_secs),
            detail: String::new(),
        }
    }

    /// Pauses between the attempts to deliver one batch, in seconds.
    async fn pauses(answers: Vec<Answer>) -> (Vec<f64>, Link) {
        let transport = Scripted {
            answers: Mutex::new(answers.into()),
            ..Scripted::default()
        };
        let mut courier = Courier::new(&transport, 1);
        courier.deliver(&[]).await;
        let sent = transport.sent.lock().unwrap();
        let pauses = sent
            .windows(2)
            .map(|pair| (pair[1].0 - pair[0].0).as_secs_f64())
            .collect();
        (pauses, courier.state)
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_a_limit() {
        let (pauses, link) = pauses((0..12).map(|_| retry(None)).collect()).await;
        assert_eq!((pauses.len(), link), (12, Link::Working));
        let mut full = 0.5;
        for pause in pauses {
            assert!(
                (full / 2.0..=full + 0.01).contains(&pause),
                "{pause} of {full}"
            );
            full = f64::min(full * 2.0, 30.0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_is_honoured_within_reason() {
        let answers = vec![retry(Some(12)), retry(Some(0)), retry(Some(u64::MAX))];
        let (pauses, _) = pauses(answers).await;
        assert!((12.0..12.1).contains(&pauses[0]), "{pauses:?}");
        assert!(pauses[1] >= 0.5, "{pauses:?}");
        assert!((300.0..300.1).contains(&pauses[2]), "{pauses:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_batch_is_not_sent_again() {
        let (pauses, link) = pauses(vec![Answer::Refused {
            detail: "422".to_owned(),
        }])
        .await;
        assert_eq!((pauses.len(), link), (0, Link::Refusing));
    }
}
