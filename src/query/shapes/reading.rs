//! A reading with a member for each quantity there is.

use crate::domain::{Level, Quantity, Timestamp};
use crate::wire::FLAT_ALWAYS;
use utoipa::openapi::schema::{
    KnownFormat, ObjectBuilder, OneOfBuilder, Schema, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

/// A reading.
#[derive(Debug)]
pub(super) struct Reading;

/// A reading of the past, or the mean of several.
#[derive(Debug)]
pub(in crate::query) struct Record;

/// The values of a room.
#[derive(Debug)]
pub(super) struct FlatValues;

impl PartialSchema for FlatValues {
    fn schema() -> RefOr<Schema> {
        let values = values(ObjectBuilder::new().schema_type(Type::Object));
        values.build().into()
    }
}

impl ToSchema for FlatValues {}

impl PartialSchema for Reading {
    fn schema() -> RefOr<Schema> {
        reading().build().into()
    }
}

impl ToSchema for Reading {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Level::name().into_owned(), Level::schema()));
    }
}

impl PartialSchema for Record {
    fn schema() -> RefOr<Schema> {
        let mut record = reading();
        for quantity in Quantity::ALL {
            record = extremes(record, quantity.flat_key(), number);
        }
        extremes(record, "global_score", score)
            .property("count", count())
            .description(Some(
                "A reading of the past, or the mean of several. Extremes and the count are there \
                with `minmax`.",
            ))
            .into()
    }
}

impl ToSchema for Record {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        Reading::schemas(schemas);
    }
}

/// What every reading has: who and where, a member for each quantity, and the score.
fn reading() -> ObjectBuilder {
    let mut reading = ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("timestamp", Timestamp::schema())
        .required("timestamp");
    for name in ["sensor_id", "enseigne", "salle"] {
        let text = ObjectBuilder::new().schema_type(Type::String);
        reading = reading.property(name, text).required(name);
    }
    let extra = ObjectBuilder::new()
        .schema_type(Type::Object)
        .additional_properties(Some(RefOr::T(Schema::from(number()))))
        .description(Some("Values of no known quantity."));
    let level = OneOfBuilder::new()
        .item(Ref::from_schema_name(Level::name()))
        .item(ObjectBuilder::new().schema_type(Type::Null));
    values(reading)
        .property("extra", extra)
        .property("global_score", nullable(score()))
        .required("global_score")
        .property("global_level", level)
        .required("global_level")
}

/// A member for each quantity.
fn values(mut of: ObjectBuilder) -> ObjectBuilder {
    for quantity in Quantity::ALL {
        let is_always = FLAT_ALWAYS.contains(&quantity);
        let value = match quantity {
            Quantity::Occupants => number().description(Some("People; 0 when nobody counted.")),
            // Null when it is too old to be shown.
            _ => nullable(number()).description(Some(quantity.unit())),
        };
        of = of.property(quantity.flat_key(), value);
        if is_always || quantity == Quantity::Occupants {
            of = of.required(quantity.flat_key());
        }
    }
    of
}

fn number() -> ObjectBuilder {
    let format = SchemaFormat::KnownFormat(KnownFormat::Double);
    ObjectBuilder::new()
        .schema_type(Type::Number)
        .format(Some(format))
}

fn score() -> ObjectBuilder {
    number().minimum(Some(0)).maximum(Some(100))
}

fn count() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .description(Some("Readings it stands for."))
}

fn nullable(number: ObjectBuilder) -> ObjectBuilder {
    number.schema_type(SchemaType::from_iter([Type::Number, Type::Null]))
}

fn extremes(record: ObjectBuilder, name: &str, kind: fn() -> ObjectBuilder) -> ObjectBuilder {
    record
        .property(format!("{name}_min"), kind())
        .property(format!("{name}_max"), kind())
}
