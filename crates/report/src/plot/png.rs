//! A drawing as PNG.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::fontdb::{Database, ID, Source};
use resvg::usvg::{FontResolver, Options, Tree};
use retrace_spec::guard;

use crate::ReportError;

/// The number of pixels per pixel of the drawing.
const SCALE: f32 = 2.0;

/// An image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Png {
    /// The bytes of the file.
    pub bytes: Vec<u8>,
    /// The first character of each text that no font has, each once: it is not drawn, and others of the text may not be.
    pub missing: String,
}

/// Further fonts by number, from 0; none after the last. What is no font is skipped.
pub type Fonts<'a> = &'a (dyn Fn(usize) -> Option<Vec<u8>> + Sync);

/// An SVG document of ours as a PNG image, with text in DejaVu Sans Condensed, so that it is the same on every
/// machine. Characters that this font does not have, such as Chinese ones, are drawn in the first of `fonts` that has
/// them; then the image depends on these fonts.
///
/// # Errors
/// If it is not a valid drawing, or too large for memory.
pub fn png(svg: &str, fonts: Fonts<'_>) -> Result<Png, ReportError> {
    guard(|| draw(svg, fonts)).unwrap_or_else(|gave_up| Err(refuse(gave_up.to_string())))
}

fn refuse(what: String) -> ReportError {
    ReportError::Plot { title: "PNG".to_owned(), what }
}

/// The further fonts that were read, and the characters that none has: of each text, the renderer asks up to the first.
#[derive(Default)]
struct Found {
    read: usize,
    missing: BTreeSet<char>,
}

fn draw(svg: &str, fonts: Fonts<'_>) -> Result<Png, ReportError> {
    let mut own = Database::new();
    own.load_font_data(dejavu::sans_condensed::regular().to_vec());
    let family = own.faces().next().and_then(|face| face.families.first()).map(|(name, _)| name.clone());
    let family = family.ok_or_else(|| refuse("its font cannot be read".to_owned()))?;
    own.set_sans_serif_family(family.clone());
    let found = Mutex::new(Found::default());
    let with = FontResolver::default_fallback_selector();
    let fallback = |c: char, used: &[ID], loaded: &mut Arc<Database>| {
        let known = with(c, used, loaded);
        // Fonts are read only if the ones before do not have a character.
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_some() || found.missing.contains(&c) {
            return known;
        }
        while let Some(font) = fonts(found.read) {
            found.read += 1;
            let faces = Arc::make_mut(loaded).load_font_source(Source::Binary(Arc::new(font)));
            if let Some(face) = with(c, used, loaded) {
                return Some(face);
            }
            faces.into_iter().for_each(|face| Arc::make_mut(loaded).remove_face(face));
        }
        found.missing.insert(c);
        None
    };
    let font_resolver =
        FontResolver { select_font: FontResolver::default_font_selector(), select_fallback: Box::new(fallback) };
    let options = Options { fontdb: Arc::new(own), font_family: family, font_resolver, ..Options::default() };
    let tree = Tree::from_str(svg, &options).map_err(|e| refuse(e.to_string()))?;
    drop(options);
    // An SVG is displayed at half its size; here it is drawn at its full size.
    let (scale, size) = (2.0 * SCALE, tree.size());
    let pixels = |length: f32| (length * scale).ceil() as u32;
    let mut image = Pixmap::new(pixels(size.width()), pixels(size.height()))
        .ok_or_else(|| refuse(format!("{size:?} is no size of an image")))?;
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut image.as_mut());
    let missing = found.into_inner().unwrap_or_else(PoisonError::into_inner).missing;
    Ok(Png { bytes: image.encode_png().map_err(|e| refuse(e.to_string()))?, missing: missing.into_iter().collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawing(text: &str) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"80\" height=\"20\"><text y=\"15\">{text}</text></svg>"
        )
    }

    #[test]
    fn characters_that_the_font_lacks_are_taken_from_the_first_other_font_that_has_them() {
        let none = |_: usize| None;
        let plain = png(&drawing("ab"), &none).unwrap();
        assert_eq!(plain.missing, "");
        // No font is read if it is not needed.
        assert_eq!(png(&drawing("ab"), &|_| panic!("read")).unwrap(), plain);
        let chinese = png(&drawing("a中文a中"), &none).unwrap();
        assert_eq!(chinese.missing, "中");
        // What is no font, or has no such character, is skipped, and each is read once.
        let read = Mutex::new(Vec::new());
        let useless = |at: usize| {
            read.lock().unwrap().push(at);
            [&b"no font"[..], &dejavu::sans_mono::regular()[..1000], dejavu::sans_mono::regular()]
                .get(at)
                .map(|font| font.to_vec())
        };
        assert_eq!(png(&drawing("a中文"), &useless).unwrap(), png(&drawing("a中文"), &none).unwrap());
        let read = read.into_inner().unwrap();
        assert_eq!(read[..4], [0, 1, 2, 3]);
        assert!(read[4..].iter().all(|at| *at == 3), "{read:?}");
        // A character that only the second font has is drawn.
        let only = ('\u{2190}'..'\u{ffff}')
            .find(|c| {
                let mono = |at: usize| (at == 0).then(|| dejavu::sans_mono::regular().to_vec());
                let text = drawing(&c.to_string());
                !png(&text, &none).unwrap().missing.is_empty() && png(&text, &mono).unwrap().missing.is_empty()
            })
            .unwrap();
        let mono = |at: usize| (at == 0).then(|| dejavu::sans_mono::regular().to_vec());
        let text = drawing(&format!("a{only}"));
        assert_ne!(png(&text, &mono).unwrap().bytes, png(&text, &none).unwrap().bytes);
    }
}
