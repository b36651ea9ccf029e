//! Servers that have a folder each and the same documents.

use super::*;
use crate::database::RoomKey;
use crate::documents::test_support::MemoryDocuments;
use crate::domain::PlaceName;
use crate::models::glb::sample;
use crate::models::incoming::Part;
use pretty_assertions::assert_eq;
use tempfile::TempDir;
use tokio::sync::mpsc;

/// Rooms that readings have named, and what they are called now.
#[derive(Debug, Default)]
struct Rooms(parking_lot::Mutex<std::collections::BTreeMap<RoomKey, Arc<Place>>>);

impl crate::models::Rooms for Rooms {
    fn former(&self, _room: RoomKey) -> Option<Option<RoomKey>> {
        None
    }

    fn key(&self, place: &Place) -> Option<RoomKey> {
        let rooms = self.0.lock();
        let mut named = rooms.iter().filter(|(_, known)| known.as_ref() == place);
        named.next().map(|(room, _)| *room)
    }

    fn place(&self, room: RoomKey) -> Option<Arc<Place>> {
        self.0.lock().get(&room).cloned()
    }
}

const ALL_BYTES_MAX: u64 = 100_000;

struct Server {
    models: Models,
    rooms: Arc<Rooms>,
    folder: TempDir,
}

impl Server {
    async fn start(documents: &Arc<MemoryDocuments>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let limits = ModelLimits {
            bytes_max: 10_000,
            all_bytes_max: ALL_BYTES_MAX,
            timeout: Duration::from_secs(5),
        };
        let rooms = Arc::new(Rooms::default());
        let documents = Arc::clone(documents) as _;
        let models = Models::open(documents, Arc::clone(&rooms) as _, folder.path(), limits);
        let models = models.await.unwrap();
        Self {
            models,
            rooms,
            folder,
        }
    }

    /// Uploads a model with this name in it.
    async fn upload(&self, name: &str, room: &str) -> Result<Model, ModelChangeError> {
        let mut document = sample::document();
        document["asset"]["generator"] = name.into();
        let file = sample::glb(&document.to_string(), Some(&[0; 36]));
        let (parts, mut taken) = mpsc::channel(2);
        parts.send(Part::Bytes(file.into())).await.unwrap();
        parts.send(Part::End).await.unwrap();
        let permit = self.models.may_upload().unwrap();
        let (models, place) = (self.models.clone(), place(room));
        let received = tokio::task::spawn_blocking(move || {
            models
                .begin(0, permit)
                .unwrap()
                .receive(&mut taken, &place)
                .unwrap()
        });
        let now = Timestamp::from_millis(1);
        let added = self
            .models
            .add(received.await.unwrap(), self::place(room), "ada", now);
        added.await.map(|(model, _)| model)
    }

    async fn follow(&self, documents: &MemoryDocuments) {
        let versions = documents.versions(Book::KINDS).await.unwrap();
        self.models.follow(&versions).await.unwrap();
    }

    /// Asserts that the folder has these files alone, and that the space counts those of the book.
    fn assert_tidy(&self, has: &[&Model]) {
        let mut files: Vec<_> = std::fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let mut expected: Vec<_> = has.iter().map(|it| format!("{}.glb", it.id)).collect();
        expected.sort();
        assert_eq!(files, expected);
        let free = ALL_BYTES_MAX - self.models.totals().1;
        let mut reserved = self.models.0.space.reserve();
        assert!(reserved.grow_to(free).is_ok() && reserved.grow_to(free + 1).is_err());
    }
}

fn place(room: &str) -> Place {
    Place {
        site: PlaceName::parse("Maison").unwrap(),
        room: PlaceName::parse(room).unwrap(),
    }
}

#[tokio::test]
async fn folder_and_space_follow_the_changes_made_here() {
    let documents = Arc::default();
    let server = Server::start(&documents).await;
    let bureau = server.upload("one", "Bureau").await.unwrap();
    let salon = server.upload("one", "Salon").await.unwrap();
    server.assert_tidy(&[&bureau, &salon]);
    let again = server.upload("one", "Bureau").await.unwrap();
    assert_eq!(again.id, bureau.id);
    server.assert_tidy(&[&bureau, &salon]);
    let next = server.upload("another", "Bureau").await.unwrap();
    server.assert_tidy(&[&next, &salon]);
    server.models.remove(salon.id).await.unwrap();
    server.assert_tidy(&[&next]);
    let missing = server.models.remove(salon.id).await.unwrap_err();
    assert!(matches!(missing, ModelChangeError::Missing));
    assert_eq!(server.models.totals(), (1, next.bytes));
}

#[tokio::test]
async fn folder_and_space_follow_what_another_process_does() {
    let documents = Arc::default();
    let (one, other) = (
        Server::start(&documents).await,
        Server::start(&documents).await,
    );
    let bureau = one.upload("one", "Bureau").await.unwrap();
    other.follow(&documents).await;
    assert_eq!(other.models.totals(), (1, bureau.bytes));
    // Its file is in the folder of the server that took it.
    other.assert_tidy(&[]);
    other.models.remove(bureau.id).await.unwrap();
    one.assert_tidy(&[&bureau]);
    one.follow(&documents).await;
    one.assert_tidy(&[]);

    // A change finds out by itself.
    let bureau = one.upload("one", "Bureau").await.unwrap();
    other.follow(&documents).await;
    other.models.remove(bureau.id).await.unwrap();
    let salon = one.upload("one", "Salon").await.unwrap();
    one.follow(&documents).await;
    one.assert_tidy(&[&salon]);
}

#[tokio::test]
async fn the_change_after_one_whose_end_is_unknown_tidies() {
    let documents: Arc<MemoryDocuments> = Arc::default();
    let server = Server::start(&documents).await;
    documents.fall_silent();
    let unheard = server.upload("one", "Bureau").await.unwrap_err();
    assert!(matches!(unheard, ModelChangeError::Store(_)));
    assert_eq!(server.models.totals().0, 0);
    // It was made, so its file stays and counts.
    let salon = server.upload("one", "Salon").await.unwrap();
    let bureau = server
        .models
        .book(|book| book.of_room(None, &place("Bureau")).cloned());
    server.assert_tidy(&[&bureau.unwrap(), &salon]);

    documents.fall_silent();
    let unheard = server.models.remove(salon.id).await.unwrap_err();
    assert!(matches!(unheard, ModelChangeError::Store(_)));
    let salon = server.upload("another", "Salon").await.unwrap();
    assert_eq!(server.models.totals().0, 2);
    let bureau = server
        .models
        .book(|book| book.of_room(None, &place("Bureau")).cloned());
    server.assert_tidy(&[&bureau.unwrap(), &salon]);
}

#[tokio::test]
async fn a_file_whose_record_was_not_written_goes() {
    let documents: Arc<MemoryDocuments> = Arc::default();
    let server = Server::start(&documents).await;
    documents.refuse();
    let refused = server.upload("one", "Bureau").await.unwrap_err();
    assert!(matches!(refused, ModelChangeError::Store(_)));
    let salon = server.upload("one", "Salon").await.unwrap();
    server.assert_tidy(&[&salon]);
}

#[tokio::test]
async fn a_model_stays_with_its_room_when_that_is_called_something_else() {
    let documents = Arc::default();
    let server = Server::start(&documents).await;
    let call = |room: i64, name: &str| {
        let place = Arc::new(place(name));
        server.rooms.0.lock().insert(RoomKey(room), place);
    };
    // Uploaded before there was a reading of the room.
    let bureau = server.upload("one", "Bureau").await.unwrap();
    assert_eq!(bureau.room, None);
    call(7, "Bureau");
    server.follow(&documents).await;
    call(7, "Atelier");
    call(8, "Bureau");
    let known = |id| server.models.book(|book| book.get(id).cloned()).unwrap();
    assert_eq!(*server.models.place_of(&known(bureau.id)), place("Atelier"));
    let other = server.upload("other", "Bureau").await.unwrap();
    server.assert_tidy(&[&bureau, &other]);
    let next = server.upload("next", "Atelier").await.unwrap();
    server.assert_tidy(&[&next, &other]);
    assert_eq!(next.room, Some(RoomKey(7)));

    // Another server of the same documents knows it, too.
    let again = Server::start(&documents).await;
    let room = again
        .models
        .book(|book| book.get(next.id).map(|it| it.room));
    assert_eq!(room, Some(Some(RoomKey(7))));
}
