//! Every model, in memory.

use super::id::ModelId;
use super::model::{KIND, Model};
use crate::database::{LoadedDocuments, StoreError};
use crate::domain::Place;
use rustc_hash::{FxHashMap, FxHashSet};

/// A mirror of the documents in the database.
#[derive(Debug, Default)]
pub(super) struct Book {
    models: FxHashMap<ModelId, Model>,
    of_place: FxHashMap<Place, ModelId>,
}

impl Book {
    pub(super) fn read(loaded: &LoadedDocuments) -> Result<Self, StoreError> {
        let mut book = Self::default();
        for document in &loaded.documents {
            // Documents are not only of models.
            if document.kind == KIND {
                book.put(Model::from_document(document)?);
            }
        }
        Ok(book)
    }

    pub(super) fn get(&self, id: ModelId) -> Option<&Model> {
        self.models.get(&id)
    }

    /// The model of a room.
    pub(super) fn of_place(&self, place: &Place) -> Option<&Model> {
        self.get(*self.of_place.get(place)?)
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
    pub(super) fn put(&mut self, model: Model) {
        if let Some(before) = self.of_place.insert(model.place.clone(), model.id) {
            self.models.remove(&before);
        }
        self.models.insert(model.id, model);
    }

    pub(super) fn remove(&mut self, id: ModelId) {
        if let Some(model) = self.models.remove(&id) {
            self.of_place.remove(&model.place);
        }
    }
}
