//! Small GLBs for tests.

use serde_json::{Value, json};

/// A triangle.
pub(crate) fn document() -> Value {
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

/// A file with this JSON and binary chunk, padded as it must be.
pub(crate) fn glb(json: &str, binary: Option<&[u8]>) -> Vec<u8> {
    let mut file = b"glTF\x02\0\0\0\0\0\0\0".to_vec();
    chunk(&mut file, *b"JSON", json.as_bytes(), b' ');
    if let Some(binary) = binary {
        chunk(&mut file, *b"BIN\0", binary, 0);
    }
    let length = u32::try_from(file.len()).unwrap();
    file.splice(8..12, length.to_le_bytes());
    file
}

fn chunk(file: &mut Vec<u8>, kind: [u8; 4], content: &[u8], padding: u8) {
    let length = content.len().next_multiple_of(4);
    file.extend(u32::try_from(length).unwrap().to_le_bytes());
    file.extend(kind);
    file.extend(content);
    file.extend(std::iter::repeat_n(padding, length - content.len()));
}

pub(crate) fn triangle() -> Vec<u8> {
    let corners: [f32; 9] = [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0];
    let binary: Vec<u8> = corners
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    glb(&document().to_string(), Some(&binary))
}
