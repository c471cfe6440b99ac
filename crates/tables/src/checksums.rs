//! The checksums in the Parquet files that we write.
//!
//! The header of each page has the CRC-32 of its bytes, as in the Parquet specification (`PageHeader.crc`), so that
//! every reader can check the pages that it reads. The footer has, under the key [`KEY`], the BLAKE3 of the complete
//! file with zeros in place of this digest. It covers the rest of the file: headers, statistics and indexes. Both
//! detect damage. A person who changes the file on purpose can also write new checksums; only a manifest detects that.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{
    ColumnChunkMetaData, KeyValue, PageIndexPolicy, ParquetMetaDataOptions, ParquetMetaDataReader,
};
use parquet::file::page_index::offset_index::{OffsetIndexMetaData, PageLocation};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use retrace_files::FileError;

use crate::TablesError;

/// The key of the complete file's digest in the footer.
const KEY: &str = "retrace.b3";
/// Hexadecimal digits of a digest.
const DIGITS: usize = 64;
/// The bytes before the digits: the key, then the second field of a Thrift struct (compact protocol) that is a text of
/// this length.
const BEFORE: [u8; KEY.len() + 2] = *b"retrace.b3\x18\x40";
/// A footer longer than this has no checksum of ours.
const LONGEST_FOOTER: u64 = 64 << 20;
/// Bytes that are read and hashed in one call.
const PIECE: usize = 4 << 20;

/// The Parquet file in `bytes` with both checksums.
///
/// # Errors
/// If it is not a Parquet file as this crate's writer makes them, with an offset index.
pub fn with_checksums(bytes: Vec<u8>) -> Result<Vec<u8>> {
    let bytes = Bytes::from(bytes);
    let options = ParquetMetaDataOptions::new().with_encoding_stats_as_mask(false);
    let metadata = ParquetMetaDataReader::new()
        .with_page_index_policy(PageIndexPolicy::Optional)
        .with_metadata_options(Some(options))
        .parse_and_finish(&bytes)?;
    let mut pairs = metadata.file_metadata().key_value_metadata().cloned().unwrap_or_default();
    pairs.push(KeyValue::new(KEY.to_owned(), "0".repeat(DIGITS)));
    let properties = WriterProperties::builder()
        .set_created_by(metadata.file_metadata().created_by().unwrap_or_default().to_owned())
        .set_key_value_metadata(Some(pairs))
        .build();
    let schema = metadata.file_metadata().schema_descr().root_schema_ptr();
    let mut written = Vec::with_capacity(bytes.len() + bytes.len() / 64 + 1024);
    let mut writer = SerializedFileWriter::new(&mut written, schema, Arc::new(properties))?;
    for (at, group) in metadata.row_groups().iter().enumerate() {
        let mut columns = writer.next_row_group()?;
        for (column, chunk) in group.columns().iter().enumerate() {
            let of =
                |index: usize| -> Option<&OffsetIndexMetaData> { metadata.offset_index()?.get(index)?.get(column) };
            let offsets = of(at).ok_or_else(|| ParquetError::General("a column has no offset index".to_owned()))?;
            let pages = checked_pages(&bytes, chunk, offsets)?;
            let close = ColumnCloseResult {
                bytes_written: pages.bytes.len() as u64,
                rows_written: u64::try_from(group.num_rows()).unwrap_or(0),
                metadata: pages.metadata,
                bloom_filter: None,
                column_index: metadata.column_index().and_then(|index| index.get(at)?.get(column)).cloned(),
                offset_index: Some(pages.offsets),
            };
            columns.append_column(&pages.bytes, close)?;
        }
        columns.close()?;
    }
    writer.close()?;
    let missing = || ParquetError::General("the footer has no field for the checksum".to_owned());
    let place = written.len() - footer_length(&written).ok_or_else(missing)?;
    let place = place + place_of_digits(&written[place..]).ok_or_else(missing)?;
    let digest = blake3::hash(&written).to_hex();
    written[place..place + DIGITS].copy_from_slice(digest.as_bytes());
    Ok(written)
}

/// The pages of a column, each with its checksum.
struct Pages {
    bytes: Bytes,
    metadata: ColumnChunkMetaData,
    offsets: OffsetIndexMetaData,
}

fn checked_pages(file: &Bytes, chunk: &ColumnChunkMetaData, offsets: &OffsetIndexMetaData) -> Result<Pages> {
    let mut bytes = Vec::with_capacity(usize::try_from(chunk.compressed_size()).unwrap_or(0) + 4096);
    let page = |bytes: &mut Vec<u8>, offset: i64, length: i64| -> Result<PageLocation> {
        let (start, end) = (index(offset)?, index(offset + length)?);
        let page = file.get(start..end).ok_or_else(|| ParquetError::General("a page is outside of it".to_owned()))?;
        let before = bytes.len();
        with_checksum(page, bytes)?;
        let compressed_page_size =
            i32::try_from(bytes.len() - before).map_err(|e| ParquetError::General(e.to_string()))?;
        Ok(PageLocation { offset: before as i64, compressed_page_size, first_row_index: 0 })
    };
    let first = offsets.page_locations.first().map_or(chunk.data_page_offset(), |page| page.offset);
    if let Some(dictionary) = chunk.dictionary_page_offset() {
        page(&mut bytes, dictionary, first - dictionary)?;
    }
    let data = bytes.len() as i64;
    let mut offsets = offsets.clone();
    for location in &mut offsets.page_locations {
        let moved = page(&mut bytes, location.offset, location.compressed_page_size.into())?;
        *location = PageLocation { first_row_index: location.first_row_index, ..moved };
    }
    let grown = bytes.len() as i64 - chunk.compressed_size();
    let metadata = chunk
        .clone()
        .into_builder()
        .set_total_compressed_size(bytes.len() as i64)
        .set_total_uncompressed_size(chunk.uncompressed_size() + grown)
        .set_dictionary_page_offset(chunk.dictionary_page_offset().map(|_| 0))
        .set_data_page_offset(data)
        .build()?;
    Ok(Pages { bytes: bytes.into(), metadata, offsets })
}

fn index(offset: i64) -> Result<usize> {
    usize::try_from(offset).map_err(|e| ParquetError::General(e.to_string()))
}

/// A Thrift field of 32 bits directly after the one before it, in the compact protocol.
const NEXT_I32: u8 = 0x15;

/// Adds a page to `to`, with the CRC-32 of its bytes in its header. A header begins with three numbers: its kind, its
/// size, and its stored size; the checksum is the fourth field, and our pages do not have it yet.
fn with_checksum(page: &[u8], to: &mut Vec<u8>) -> Result<()> {
    let refuse = || ParquetError::General("the header of a page was changed".to_owned());
    let mut at = 0;
    let mut stored = 0;
    for _ in 0..3 {
        if page.get(at) != Some(&NEXT_I32) {
            return Err(refuse());
        }
        (stored, at) = varint(page, at + 1).ok_or_else(refuse)?;
    }
    // Numbers are zigzag-encoded, and a length is not negative.
    let length = usize::try_from(stored >> 1).map_err(|_| refuse())?;
    let body = page.len().checked_sub(length).filter(|body| *body > at).ok_or_else(refuse)?;
    // The next field is encoded as the difference of the field numbers: one less from here.
    let next = page[at].checked_sub(0x10).filter(|next| next >> 4 > 0).ok_or_else(refuse)?;
    let crc = crc32fast::hash(&page[body..]) as i32;
    to.extend_from_slice(&page[..at]);
    to.push(NEXT_I32);
    write_varint(((crc << 1) ^ (crc >> 31)) as u32, to);
    to.push(next);
    to.extend_from_slice(&page[at + 1..]);
    Ok(())
}

/// The number that begins at `at`, seven bits per byte, and the position after it.
fn varint(bytes: &[u8], mut at: usize) -> Option<(u64, usize)> {
    let mut number = 0;
    for shift in (0..35).step_by(7) {
        let byte = *bytes.get(at)?;
        at += 1;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some((number, at));
        }
    }
    None
}

fn write_varint(mut number: u32, to: &mut Vec<u8>) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

/// The length of the footer, with the bytes that state it, at the end of a file.
fn footer_length(end: &[u8]) -> Option<usize> {
    let (rest, b"PAR1") = end.split_last_chunk::<4>()? else { return None };
    let (_, length) = rest.split_last_chunk::<4>()?;
    usize::try_from(u32::from_le_bytes(*length)).ok()?.checked_add(8)
}

/// The position of the complete file's digest in a footer.
fn place_of_digits(footer: &[u8]) -> Option<usize> {
    let found = footer.windows(BEFORE.len()).rposition(|bytes| bytes == BEFORE)? + BEFORE.len();
    footer.get(found..found + DIGITS).map(|_| found)
}

/// Whether the Parquet file has a checksum of its own, which then matches. `path` is the file's name in errors.
///
/// # Errors
/// If the file does not match its own checksum, or cannot be read.
pub fn has_checksum(file: &mut File, path: &Path) -> std::result::Result<bool, TablesError> {
    match holds(file).map_err(FileError::io(path, "read"))? {
        Some(false) => Err(TablesError::Checksum { path: path.to_owned() }),
        found => Ok(found.is_some()),
    }
}

/// Whether the Parquet file matches its own checksum; `None`, if it has none.
fn holds(file: &mut File) -> std::io::Result<Option<bool>> {
    let size = file.seek(SeekFrom::End(0))?;
    let mut end = [0; 8];
    if size < 12 {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(size - 8))?;
    file.read_exact(&mut end)?;
    let Some(length) =
        footer_length(&end).map(|length| length as u64).filter(|length| *length <= size.min(LONGEST_FOOTER))
    else {
        return Ok(None);
    };
    let start = size - length;
    file.seek(SeekFrom::Start(start))?;
    let mut footer = Vec::new();
    file.take(length).read_to_end(&mut footer)?;
    let Some(place) = place_of_digits(&footer) else { return Ok(None) };
    let stated = footer[place..place + DIGITS].to_vec();
    footer[place..place + DIGITS].fill(b'0');
    file.seek(SeekFrom::Start(0))?;
    let mut hasher = blake3::Hasher::new();
    let mut before = file.take(start);
    let mut piece = Vec::with_capacity(PIECE.min(usize::try_from(start).unwrap_or(PIECE)));
    loop {
        piece.clear();
        if (&mut before).take(PIECE as u64).read_to_end(&mut piece)? == 0 {
            break;
        }
        hasher.update_rayon(&piece);
    }
    let digest = hasher.update(&footer).finalize().to_hex();
    Ok(Some(digest.as_bytes() == stated))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metric;
    use arrow::array::RecordBatch;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    fn table(directory: &std::path::Path) -> Vec<u8> {
        let row = |at: u64| Metric {
            release: "r".to_owned(),
            run: format!("run {}", at % 3),
            step: (!at.is_multiple_of(7)).then_some(retrace_spec::Step(at)),
            tokens: None,
            task: "t".to_owned(),
            shots: Some(at % 5),
            metric: "acc".to_owned(),
            value: at as f64 / 3.0,
            stderr: None,
            source: format!("a text that is not the same twice {at}"),
            place: String::new(),
            is_group: None,
            time: None,
        };
        crate::write(directory, &(0..40_000).map(row).collect::<Vec<_>>()).unwrap();
        std::fs::read(directory.join("metrics.parquet")).unwrap()
    }

    /// Parquet's own reader, which checks each page; its panics are converted to errors.
    fn read(bytes: &[u8]) -> Option<Vec<RecordBatch>> {
        let bytes = Bytes::copy_from_slice(bytes);
        let read = retrace_spec::guard(|| {
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()?;
            Ok::<_, ParquetError>(reader.collect::<std::result::Result<Vec<_>, _>>()?)
        });
        read.ok()?.ok()
    }

    fn holds_in(directory: &std::path::Path, bytes: &[u8]) -> Option<bool> {
        let path = directory.join("spoilt");
        std::fs::write(&path, bytes).unwrap();
        holds(&mut File::open(path).unwrap()).unwrap()
    }

    #[test]
    fn every_page_has_a_checksum_that_the_reader_checks() {
        let directory = tempfile::tempdir().unwrap();
        let good = table(directory.path());
        assert_eq!(read(&good).unwrap().iter().map(RecordBatch::num_rows).sum::<usize>(), 40_000);
        let metadata = ParquetMetaDataReader::new()
            .with_page_index_policy(PageIndexPolicy::Required)
            .parse_and_finish(&Bytes::from(good.clone()))
            .unwrap();
        let mut pages = 0;
        for chunks in metadata.offset_index().unwrap() {
            for page in chunks.iter().flat_map(|chunk| chunk.page_locations()) {
                // The last byte of a page is a data byte.
                let mut spoilt = good.clone();
                spoilt[(page.offset + i64::from(page.compressed_page_size)) as usize - 1] ^= 1;
                assert!(read(&spoilt).is_none(), "page at {}", page.offset);
                pages += 1;
            }
        }
        assert!(pages >= 11, "{pages}");
        for chunk in metadata.row_group(0).columns() {
            // A page without values has no bytes that could be damaged.
            if chunk.dictionary_page_offset().is_some_and(|offset| chunk.data_page_offset() - offset > 40) {
                let mut spoilt = good.clone();
                spoilt[chunk.data_page_offset() as usize - 1] ^= 0x40;
                assert!(read(&spoilt).is_none(), "dictionary of {}", chunk.column_path());
            }
        }
    }

    /// Whichever bit is flipped, either the table is known to be changed, or it appears to have no checksum of ours:
    /// then the bit is in the key of the checksum, or Parquet finds no footer.
    #[test]
    fn a_flipped_bit_anywhere_shows() {
        let directory = tempfile::tempdir().unwrap();
        let good = table(directory.path());
        assert_eq!(holds_in(directory.path(), &good), Some(true));
        let rows = read(&good);
        let near_the_end = good.len() - 6000..good.len();
        for at in near_the_end.step_by(41).chain((4..good.len()).step_by(good.len() / 60)) {
            let mut spoilt = good.clone();
            spoilt[at] ^= 1 << (at % 8);
            match holds_in(directory.path(), &spoilt) {
                Some(held) => assert!(!held, "bit {at}"),
                None => assert!(read(&spoilt).is_none_or(|read| Some(read) == rows), "bit {at}"),
            }
        }
        for length in [0, 3, 11, 12, good.len() / 2, good.len() - 1] {
            assert_ne!(holds_in(directory.path(), &good[..length]), Some(true));
        }
    }
}
