//! What a client can subscribe to.

/// A kind of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Topic {
    Measurements,
    Predictions,
    Actions,
    Alerts,
    Modules,
    System,
    /// Every kind.
    All,
}

impl Topic {
    pub const COUNT: usize = 7;

    pub const EVERY: [Self; Self::COUNT] = [
        Self::Measurements,
        Self::Predictions,
        Self::Actions,
        Self::Alerts,
        Self::Modules,
        Self::System,
        Self::All,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Measurements => "measurements",
            Self::Predictions => "predictions",
            Self::Actions => "actions",
            Self::Alerts => "alerts",
            Self::Modules => "modules",
            Self::System => "system",
            Self::All => "all",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::EVERY.into_iter().find(|topic| topic.as_str() == name)
    }
}

/// Topics of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TopicSet(u8);

impl TopicSet {
    pub const EMPTY: Self = Self(0);

    pub fn contains(self, topic: Topic) -> bool {
        self.0 & (1 << topic as u8) != 0
    }

    /// Whether a message of `topic` is for a client with these topics.
    pub fn wants(self, topic: Topic) -> bool {
        self.contains(Topic::All) || self.contains(topic)
    }

    #[must_use]
    pub fn with(self, topic: Topic) -> Self {
        Self(self.0 | 1 << topic as u8)
    }

    #[must_use]
    pub fn without(self, topic: Topic) -> Self {
        Self(self.0 & !(1 << topic as u8))
    }

    pub fn iter(self) -> impl Iterator<Item = Topic> {
        Topic::EVERY
            .into_iter()
            .filter(move |topic| self.contains(*topic))
    }

    /// The topics to count this client under: `all` stands for itself only.
    #[must_use]
    pub fn counted(self) -> Self {
        if self.contains(Topic::All) {
            Self::EMPTY.with(Topic::All)
        } else {
            self
        }
    }
}

impl FromIterator<Topic> for TopicSet {
    fn from_iter<I: IntoIterator<Item = Topic>>(topics: I) -> Self {
        topics.into_iter().fold(Self::EMPTY, Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_what_was_put_in() {
        let set: TopicSet = [Topic::Alerts, Topic::System].into_iter().collect();
        assert!(set.wants(Topic::Alerts) && !set.wants(Topic::Measurements));
        assert_eq!(
            set.without(Topic::Alerts).iter().collect::<Vec<_>>(),
            [Topic::System]
        );
        let all = set.with(Topic::All);
        assert!(all.wants(Topic::Measurements));
        assert_eq!(all.counted().iter().collect::<Vec<_>>(), [Topic::All]);
        for topic in Topic::EVERY {
            assert_eq!(Topic::from_name(topic.as_str()), Some(topic));
        }
    }
}
