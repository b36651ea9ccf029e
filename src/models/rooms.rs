//! Which room a model belongs to: the store's key of it, which stays when the room gets another name.

use crate::database::RoomKey;
use crate::domain::Place;
use crate::store::Store;
use std::fmt::Debug;
use std::sync::Arc;

/// The rooms there are, by name and by key.
pub trait Rooms: Debug + Send + Sync {
    /// The key of a room; `None` before its first reading.
    fn key(&self, place: &Place) -> Option<RoomKey>;

    /// Of a room that is no more: to which one everything of it belongs, or that it is gone.
    fn former(&self, room: RoomKey) -> Option<Option<RoomKey>>;

    /// What a room is called now.
    fn place(&self, room: RoomKey) -> Option<Arc<Place>>;
}

impl Rooms for Store {
    fn key(&self, place: &Place) -> Option<RoomKey> {
        self.directory(|directory| directory.room_key(place))
    }

    fn former(&self, room: RoomKey) -> Option<Option<RoomKey>> {
        self.directory(|directory| directory.former_room(room))
    }

    fn place(&self, room: RoomKey) -> Option<Arc<Place>> {
        self.directory(|directory| directory.place(room).cloned())
    }
}
