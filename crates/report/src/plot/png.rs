//! A drawing as PNG.

use std::sync::Arc;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};
use retrace_spec::guard;

use crate::ReportError;

/// The number of pixels per pixel of the drawing.
const SCALE: f32 = 2.0;

/// An SVG document of ours as a PNG image, with text in DejaVu Sans Condensed, so that it is the same on every
/// machine. That font has no Chinese; an SVG uses the fonts of its reader's machine.
///
/// # Errors
/// If it is not a valid drawing, or too large for memory.
pub fn png(svg: &str) -> Result<Vec<u8>, ReportError> {
    guard(|| draw(svg)).unwrap_or_else(|gave_up| Err(refuse(gave_up.to_string())))
}

fn refuse(what: String) -> ReportError {
    ReportError::Plot { title: "PNG".to_owned(), what }
}

fn draw(svg: &str) -> Result<Vec<u8>, ReportError> {
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(dejavu::sans_condensed::regular().to_vec());
    let family = fonts.faces().next().and_then(|face| face.families.first()).map(|(name, _)| name.clone());
    let family = family.ok_or_else(|| refuse("its font cannot be read".to_owned()))?;
    fonts.set_sans_serif_family(family.clone());
    let options = Options { fontdb: Arc::new(fonts), font_family: family, ..Options::default() };
    let tree = Tree::from_str(svg, &options).map_err(|e| refuse(e.to_string()))?;
    // An SVG is displayed at half its size; here it is drawn at its full size.
    let (scale, size) = (2.0 * SCALE, tree.size());
    let pixels = |length: f32| (length * scale).ceil() as u32;
    let mut image = Pixmap::new(pixels(size.width()), pixels(size.height()))
        .ok_or_else(|| refuse(format!("{size:?} is no size of an image")))?;
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut image.as_mut());
    image.encode_png().map_err(|e| refuse(e.to_string()))
}
