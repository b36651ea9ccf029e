//! An empty database of either kind, for tests that hold for both.

use crate::cluster::Cluster;
use tempfile::TempDir;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

/// Where databases of one kind are made.
pub enum Place {
    Folder(TempDir),
    Cluster(Cluster),
}

impl Place {
    pub fn new(kind: Kind) -> Self {
        match kind {
            Kind::Sqlite => Self::Folder(tempfile::tempdir().unwrap()),
            Kind::Postgres => Self::Cluster(Cluster::start()),
        }
    }

    /// URL of another database with nothing in it.
    pub async fn new_database(&self) -> String {
        match self {
            Self::Folder(folder) => {
                let name = format!("{:016x}.db", rand::random::<u64>());
                format!("sqlite://{}", folder.path().join(name).display())
            }
            Self::Cluster(cluster) => cluster.new_database().await,
        }
    }
}
