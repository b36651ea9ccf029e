//! Rows as bytes: what the databases keep.
//!
//! Nothing is lost: every number comes back bit for bit, -0.0 too. There are four formats. Each begins
//! with a byte that says its version, and is read to its last byte; whatever else the bytes are is an
//! error, never a panic, an invalid reading or memory without bound.
//!
//! | Format | Holds | Made for |
//! |---|---|---|
//! | [batch](pack_batch) | log rows of one commit | being written at once, a row at a time |
//! | [state](pack_state) | the state of one sensor | being written with what was settled |
//! | [readings](pack_readings) | readings of one sensor | few bytes, kept for long |
//! | [buckets](pack_buckets) | buckets of one sensor's roll-up | few bytes, kept for long |
//!
//! The newest reading of a sensor is packed as readings of which there is one.
//!
//! A general compressor is not put on top. Readings of five values once a minute take 6 to 8 bytes,
//! of which it would save little, and unpacking takes tens of nanoseconds a row, which it would
//! multiply.
//!
//! # Parts
//!
//! In the layouts below `x*` is any number of `x`, and `[x]` is there only sometimes.
//!
//! | Part | Bytes |
//! |---|---|
//! | `uint` | varint of 64 bits: seven bits a byte, the lowest first, the top bit set in all but the last |
//! | `int` | `uint` of its zigzag: 0, -1, 1, -2 become 0, 1, 2, 3 |
//! | `step` | `int`: the difference, which wraps, to the `step` before it in the same place; the first to 0 |
//! | `raw` | the eight bytes of a finite number, the lowest first |
//! | `number` | `uint` of which the lowest three bits are an exponent from 0 to 6 and the others the zigzag of a mantissa, meaning mantissa / 10^exponent; or the byte 7 and `raw` |
//! | `text` | `uint` length in bytes, UTF-8 |
//! | `mask` | `uint`: the bit 2^i is set for the quantity, or measure, of index i |
//!
//! # Batch, version 2
//!
//! ```text
//! batch    = version, int arrived, uint rows, row*
//! row      = step sensor, step room, step time, byte flags, mask, number*, [extras], [state]
//! flags    = 1: late, 2: unit of TVOC assumed, 4: extras follow, 8: new, 16: begins a delivery,
//!            32: state follows, 64: the state is the reading, and all are stale
//! extras   = uint count, (text key, number)*
//! state    = mask, number*, (int age)*, mask of stale ones, byte 1: all are stale, 2: unit of TVOC
//!            assumed
//! ```
//!
//! Ids are not in it: they are consecutive, and the database has the last. There is a `number` for each
//! bit of the mask, in the order of the bits. An age is that of a value when the row was measured.
//!
//! Version 1 has no time of arrival, none of the flags from 8 on, and counters behind the rows, whose
//! steps go on from the last row:
//!
//! ```text
//! batch    = version, uint rows, row*, uint sensors, counters*
//! counters = step sensor, step room, uint readings, byte has period, [raw period]
//! ```
//!
//! # State, version 1
//!
//! ```text
//! state    = version, uint epoch, uint sequence, gaps measuring, gaps deliveries, gaps arrivals,
//!            byte 1: unit of TVOC assumed, 2: partial, mask, newest*
//! gaps     = byte has last, [int last], rhythm
//! newest   = number, int time, int room, rhythm
//! rhythm   = six times the four bytes of a finite number, byte confirmed, byte run
//! ```
//!
//! The id is that of the last event that the state includes.
//!
//! # Readings, version 1
//!
//! ```text
//! readings = version, uint rows, [times], rooms, assumed, mask, column*, extras
//! times    = int first, uint unit, step*
//! rooms    = (step room, uint length)*
//! assumed  = (step 0 or 1, uint length)*
//! column   = presence, encoding, value*
//! presence = 0: all rows | 1, bitmap | 2, uint count, (uint rows between)*
//! encoding = byte exponent from 0 to 6 | 7
//! value    = step mantissa | raw
//! extras   = uint keys, (text key, column)*
//! ```
//!
//! Times do not descend, and are milliseconds since 1970. From a time to the next it is the `step` as
//! told, an integer, times the unit: the steps are differences of differences, 0 in a steady rhythm.
//! There are no times when there are no rows. Rooms and the mark of an assumed unit are runs of rows
//! that have the same, until there is one for each row. There is a column for each bit of the mask; it
//! has one exponent, with which all its numbers are decimals, or all their bits. A bitmap has the row
//! 8 i + j in the bit 2^j of its byte i. Keys of extras are sorted, and their columns are like others.
//!
//! # Buckets, version 1
//!
//! ```text
//! buckets  = version, uint rows, [times], rooms, (uint readings)*, mask, measure*
//! measure  = presence, encoding, uint sum unit, counting, bucket*
//! counting = 0: each count is the number of readings | 1: it is told
//! bucket   = [int count - readings], min, [max, int sum]
//! min      = step mantissa | raw
//! max      = int mantissa - that of min | raw
//! ```
//!
//! A bucket of a count of 1 has its minimum only: that is the one number it is of, and
//! `Statistics::of` makes the rest. The others have a maximum, and a sum that is told as what it is
//! above `count` times the minimum, in millionths, divided by the sum unit of the column. So what
//! `Statistics::of` says is part of this format.
//!
//! # Bounds
//!
//! A count is believed only when what follows is long enough for it. So unpacking makes at most one
//! row for each byte of readings, each two of buckets and each five of a batch, and at most one number
//! for each byte; the largest of those is a row, or a number with its key.

mod batch;
mod buckets;
mod bytes;
mod column;
mod decimal;
mod error;
mod readings;
mod state;
#[cfg(test)]
mod tests;
mod window;

pub(super) use batch::{pack_batch, unpack_batch};
pub(super) use buckets::{pack_buckets, unpack_buckets};
#[cfg(test)]
use error::Fault;
pub(in crate::store) use error::PackError;
pub(super) use readings::{pack_latest, pack_readings, unpack_latest, unpack_readings};
pub(super) use state::{KeptState, pack_state, unpack_state};
