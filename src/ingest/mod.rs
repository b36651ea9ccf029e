//! Doors: how readings come in. A door knows its transport and its senders' credentials, chooses the
//! format of what they send, and hands the bytes to the road that is the same for all (`pipeline`).

mod answer;
mod http;
mod shapes;

pub(crate) use http::calls;
