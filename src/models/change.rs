//! What may become of models: decided on the book.

use super::book::Book;
use super::id::ModelId;
use super::model::Model;
use super::rooms::Rooms;
use crate::documents::RecordChanges;
use std::collections::BTreeSet;

/// Most models there can be: all are in memory.
const MODELS_MAX: usize = 20_000;

/// What a change does to the book.
pub(super) type Change = RecordChanges<Model>;

/// Why models stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum ModelRefusal {
    #[error("there are too many models")]
    TooMany,
    #[error("there is no such model")]
    Missing,
    /// An id is made of the file and the name of its room, and rooms may change names.
    #[error("the same file is the model of a room that was called so before")]
    OfAnotherRoom,
}

/// Makes a model that of its room; also says which one it takes the place of.
pub(super) fn put(book: &Book, model: &Model) -> Result<(Change, Option<Model>), ModelRefusal> {
    let replaced = book.of_room(model.room, &model.place).cloned();
    if replaced.is_none() && book.len() >= MODELS_MAX {
        return Err(ModelRefusal::TooMany);
    }
    let is_here = replaced.as_ref().is_some_and(|it| it.id == model.id);
    if !is_here && book.get(model.id).is_some() {
        return Err(ModelRefusal::OfAnotherRoom);
    }
    let mut change = Change::default();
    if let Some(replaced) = &replaced {
        change.remove(replaced.id.to_string());
    }
    // The same file again has the same id.
    change.put(model.id.to_string(), model.clone());
    Ok((change, replaced))
}

/// Gives models the keys of their rooms, where `rooms` has one by now. Of two that come to one room the
/// later stays.
pub(super) fn bind(book: &Book, rooms: &dyn Rooms) -> Change {
    let mut change = Change::default();
    for model in book.without_key() {
        let Some(room) = rooms.key(&model.place) else {
            continue;
        };
        let other = book.of_key(room);
        if other.is_some_and(|other| other.created_ms > model.created_ms) {
            change.remove(model.id.to_string());
            continue;
        }
        if let Some(other) = other {
            change.remove(other.id.to_string());
        }
        let bound = Model {
            room: Some(room),
            ..model.clone()
        };
        change.put(bound.id.to_string(), bound);
    }
    follow(book, rooms, &mut change);
    change
}

/// The model of a room that became one with another is that of the other, unless that has one; and the
/// model of a room that is gone goes.
fn follow(book: &Book, rooms: &dyn Rooms, change: &mut Change) {
    let mut taken = BTreeSet::new();
    for model in book.iter() {
        let Some(into) = model.room.and_then(|room| rooms.former(room)) else {
            continue;
        };
        let into = into.filter(|into| book.of_key(*into).is_none() && taken.insert(*into));
        let Some(into) = into else {
            change.remove(model.id.to_string());
            continue;
        };
        let moved = Model {
            room: Some(into),
            ..model.clone()
        };
        change.put(moved.id.to_string(), moved);
    }
}

/// Removes a model; also says what it was.
pub(super) fn remove(book: &Book, id: ModelId) -> Result<(Change, Model), ModelRefusal> {
    let model = book.get(id).cloned().ok_or(ModelRefusal::Missing)?;
    let mut change = Change::default();
    change.remove(id.to_string());
    Ok((change, model))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::RoomKey;
    use crate::documents::Book as _;
    use crate::domain::{Place, PlaceName};
    use pretty_assertions::assert_eq;
    use sha2::{Digest, Sha256};
    use std::sync::Arc;

    fn model(content: &str, room: &str) -> Model {
        let place = Place {
            site: PlaceName::parse("Maison").unwrap(),
            room: PlaceName::parse(room).unwrap(),
        };
        Model {
            id: ModelId::of(Sha256::new_with_prefix(content), &place),
            place,
            room: None,
            bytes: 10,
            created_ms: 1,
            created_by: "ada".to_owned(),
        }
    }

    fn with(mut book: Book, model: &Model) -> Book {
        let (change, _) = put(&book, model).unwrap();
        book.apply(change);
        book
    }

    #[test]
    fn a_room_has_one_model() {
        let (one, next) = (model("one", "Bureau"), model("next", "Bureau"));
        let book = with(Book::default(), &one);
        let (change, replaced) = put(&book, &next).unwrap();
        assert_eq!(replaced, Some(one.clone()));
        let documents = Book::documents(&change);
        assert_eq!((documents.put.len(), documents.removed.len()), (1, 1));
        let book = with(book, &next);
        assert_eq!(
            (book.len(), book.of_room(None, &one.place)),
            (1, Some(&next))
        );
        assert_eq!(remove(&book, one.id).unwrap_err(), ModelRefusal::Missing);
        assert_eq!(remove(&book, next.id).unwrap().1, next);
    }

    #[test]
    fn the_same_file_again_is_the_same_model() {
        let one = model("one", "Bureau");
        let again = Model {
            created_ms: 2,
            ..one.clone()
        };
        let book = with(Book::default(), &one);
        let documents = Book::documents(&put(&book, &again).unwrap().0);
        assert_eq!((documents.put.len(), documents.removed.len()), (1, 0));
        assert_eq!(with(book, &again).of_room(None, &one.place), Some(&again));
    }

    /// One room, which may be called something else later.
    #[derive(Debug)]
    struct OneRoom(Option<Arc<Place>>);

    impl Rooms for OneRoom {
        fn former(&self, _room: RoomKey) -> Option<Option<RoomKey>> {
            None
        }

        fn key(&self, place: &Place) -> Option<RoomKey> {
            (self.0.as_deref() == Some(place)).then_some(RoomKey(7))
        }

        fn place(&self, room: RoomKey) -> Option<Arc<Place>> {
            self.0.clone().filter(|_| room == RoomKey(7))
        }
    }

    /// The room 7 became one with the room 8, and the room 9 is gone.
    #[derive(Debug)]
    struct Former;

    impl Rooms for Former {
        fn former(&self, room: RoomKey) -> Option<Option<RoomKey>> {
            match room.0 {
                7 => Some(Some(RoomKey(8))),
                9 => Some(None),
                _ => None,
            }
        }

        fn key(&self, _place: &Place) -> Option<RoomKey> {
            None
        }

        fn place(&self, _room: RoomKey) -> Option<Arc<Place>> {
            None
        }
    }

    #[test]
    fn a_model_follows_its_room_into_another_that_has_none() {
        let of = |content, room| Model {
            room: Some(RoomKey(room)),
            ..model(content, "Bureau")
        };
        let (moved, gone, other) = (of("one", 7), of("two", 9), of("three", 8));
        let mut book = with(with(Book::default(), &moved), &gone);
        book.apply(bind(&book, &Former));
        assert_eq!(
            book.of_key(RoomKey(8)).map(|model| model.id),
            Some(moved.id)
        );
        assert_eq!(book.len(), 1);
        assert!(bind(&book, &Former).is_empty());

        let mut book = with(with(Book::default(), &moved), &other);
        book.apply(bind(&book, &Former));
        assert_eq!(
            book.of_key(RoomKey(8)).map(|model| model.id),
            Some(other.id)
        );
        assert_eq!(book.len(), 1);
    }

    #[test]
    fn a_model_belongs_to_the_room_and_not_to_its_name() {
        let one = model("one", "Bureau");
        let mut book = with(Book::default(), &one);
        assert!(bind(&book, &OneRoom(None)).is_empty());
        let bureau = OneRoom(Some(Arc::new(one.place.clone())));
        book.apply(bind(&book, &bureau));
        assert!(bind(&book, &bureau).is_empty());
        // Another room may have the name by now, which must not take the model away.
        assert_eq!(book.of_room(Some(RoomKey(8)), &one.place), None);
        let same_file = Model {
            room: Some(RoomKey(8)),
            ..one.clone()
        };
        let refused = put(&book, &same_file).unwrap_err();
        assert_eq!(refused, ModelRefusal::OfAnotherRoom);
        let salon = model("one", "Salon").place;
        let bound = book.of_room(Some(RoomKey(7)), &salon).cloned().unwrap();
        assert_eq!((bound.id, bound.room), (one.id, Some(RoomKey(7))));
        let next = Model {
            room: Some(RoomKey(7)),
            ..model("next", "Salon")
        };
        assert_eq!(put(&book, &next).unwrap().1, Some(bound));
        let book = with(book, &next);
        assert_eq!((book.len(), book.get(next.id)), (1, Some(&next)));
    }

    #[test]
    fn there_are_only_so_many_models() {
        let mut change = Change::default();
        for number in 0..MODELS_MAX {
            let model = model("one", &format!("room {number}"));
            change.put(model.id.to_string(), model);
        }
        let mut book = Book::default();
        book.apply(change);
        let refused = put(&book, &model("one", "one more")).unwrap_err();
        assert_eq!(refused, ModelRefusal::TooMany);
        // One in place of another is none more.
        assert!(put(&book, &model("next", "room 7")).is_ok());
    }
}
