//! Small 3D models, put together by hand.

use serde_json::{Value, json};

/// glTF of a triangle whose corners are the first 36 bytes of the binary chunk.
pub fn document() -> Value {
    json!({
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3",
            "min": [0.0, 0.0, 0.0], "max": [1.0, 1.0, 0.0]}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}],
        "buffers": [{"byteLength": 36}],
    })
}

/// A file with this JSON and this binary chunk.
pub fn of(json: &str, binary: &[u8]) -> Vec<u8> {
    let mut file = b"glTF\x02\0\0\0\0\0\0\0".to_vec();
    for (kind, content, padding) in [(b"JSON", json.as_bytes(), b' '), (b"BIN\0", binary, 0)] {
        let length = content.len().next_multiple_of(4);
        file.extend(u32::try_from(length).unwrap().to_le_bytes());
        file.extend(kind);
        file.extend(content);
        file.resize(file.len() + length - content.len(), padding);
    }
    declare(&mut file);
    file
}

/// Writes the file's length into its header.
pub fn declare(file: &mut [u8]) {
    let length = u32::try_from(file.len()).unwrap();
    file[8..12].copy_from_slice(&length.to_le_bytes());
}

/// A triangle with so many bytes behind it.
pub fn triangle_and(bytes: usize) -> Vec<u8> {
    let corners: [f32; 9] = [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0];
    let mut binary: Vec<u8> = corners.iter().flat_map(|at| at.to_le_bytes()).collect();
    binary.resize(36 + bytes, 0x5a);
    let mut document = document();
    document["buffers"][0]["byteLength"] = binary.len().into();
    of(&document.to_string(), &binary)
}

pub fn triangle() -> Vec<u8> {
    triangle_and(0)
}
