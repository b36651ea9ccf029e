//! Every model, in memory.

use super::change::Change;
use super::id::ModelId;
use super::model::Model;
use crate::database::{Document, DocumentChange, RoomKey, StoreError};
use crate::documents::{self, Record, Records};
use crate::domain::Place;
use rustc_hash::{FxHashMap, FxHashSet};

/// A mirror of the documents in the database.
#[derive(Debug, Default)]
pub(super) struct Book {
    models: FxHashMap<ModelId, Model>,
    of_room: FxHashMap<RoomKey, ModelId>,
    /// Models of rooms that have no key yet.
    of_place: FxHashMap<Place, ModelId>,
}

impl documents::Book for Book {
    const KINDS: &'static [&'static str] = &[Model::KIND];
    const SUBJECT: &'static str = Model::SUBJECT;

    type Change = Change;

    fn read(documents: &[Document]) -> Result<Self, StoreError> {
        let mut book = Self::default();
        for document in documents {
            book.put(Model::of(document)?);
        }
        Ok(book)
    }

    fn apply(&mut self, change: Change) {
        let (put, removed): (Vec<_>, Vec<_>) =
            change.into_iter().partition(|(_, model)| model.is_some());
        // What goes first: its room may be that of what comes.
        for (id, _) in removed {
            if let Some(id) = ModelId::parse(&id) {
                self.remove(id);
            }
        }
        for model in put.into_iter().filter_map(|(_, model)| model) {
            self.put(model);
        }
    }

    fn documents(change: &Change) -> DocumentChange {
        Records::documents(change)
    }
}

impl Book {
    pub(super) fn get(&self, id: ModelId) -> Option<&Model> {
        self.models.get(&id)
    }

    /// The model of a room, by its key or, where it had none yet, by its name.
    pub(super) fn of_room(&self, room: Option<RoomKey>, place: &Place) -> Option<&Model> {
        let by_name = || self.get(*self.of_place.get(place)?);
        room.and_then(|room| self.of_key(room)).or_else(by_name)
    }

    pub(super) fn of_key(&self, room: RoomKey) -> Option<&Model> {
        self.get(*self.of_room.get(&room)?)
    }

    /// Models of rooms that had no key yet.
    pub(super) fn without_key(&self) -> impl Iterator<Item = &Model> {
        self.of_place.values().filter_map(|id| self.get(*id))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Model> {
        self.models.values()
    }

    pub(super) fn len(&self) -> usize {
        self.models.len()
    }

    /// Size of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.iter().map(|model| model.bytes).sum()
    }

    pub(super) fn ids(&self) -> FxHashSet<ModelId> {
        self.models.keys().copied().collect()
    }

    /// Adds a model in place of the one its room had.
    fn put(&mut self, model: Model) {
        self.remove(model.id);
        let before = match model.room {
            Some(room) => self.of_room.insert(room, model.id),
            None => self.of_place.insert(model.place.clone(), model.id),
        };
        if let Some(before) = before {
            self.models.remove(&before);
        }
        self.models.insert(model.id, model);
    }

    fn remove(&mut self, id: ModelId) {
        if let Some(model) = self.models.remove(&id) {
            match model.room {
                Some(room) => drop(self.of_room.remove(&room)),
                None => drop(self.of_place.remove(&model.place)),
            }
        }
    }
}
