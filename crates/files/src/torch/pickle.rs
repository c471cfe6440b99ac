//! Python's pickles as data: the values that they would build, without executing any call.
//! <https://docs.python.org/3/library/pickletools.html>

/// The maximum of values, however many instructions there are: about 500 MB.
const MOST_VALUES: usize = 12 << 20;
/// A text may be used in many places, and each would have its own copy.
const LONGEST_GLOBAL: usize = 256;

/// A value, as its index among all of a pickle's values. Lists and dictionaries are filled after they are first used,
/// so values refer to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id(u32);

/// A value that a pickle would build.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// A tuple or list.
    Sequence(Vec<Id>),
    /// A dictionary, its keys in order; also `collections.OrderedDict()`.
    Dict(Vec<(Id, Id)>),
    /// A class or function, as `module.name`.
    Global(String),
    /// A persistent reference to data outside the pickle, with its identifier.
    Persistent(Id),
    /// A call that was not executed, and the attributes that its result would be given.
    Call {
        function: Id,
        arguments: Id,
        state: Option<Id>,
    },
    /// Anything else, such as `None`.
    Other,
}

/// All values of a pickle.
#[derive(Debug, Default)]
pub(super) struct Values(Vec<Value>);

impl Values {
    /// The identifiers of all references to data outside the pickle.
    pub(super) fn persistent(&self) -> impl Iterator<Item = Id> {
        self.0.iter().filter_map(|value| match value {
            Value::Persistent(id) => Some(*id),
            _ => None,
        })
    }

    pub(super) fn get(&self, id: Id) -> Option<&Value> {
        self.0.get(id.0 as usize)
    }

    fn get_mut(&mut self, id: Id) -> Option<&mut Value> {
        self.0.get_mut(id.0 as usize)
    }
}

/// The values of `bytes` and the index of the result; `None` if it is not a pickle of data alone, or has more than
/// `most` instructions.
pub(super) fn read(mut bytes: &[u8], most: usize) -> Option<(Values, Id)> {
    read_next(&mut bytes, most)
}

/// As [`read`], of a pickle that other bytes may follow, which remain.
pub(super) fn read_next(bytes: &mut &[u8], most: usize) -> Option<(Values, Id)> {
    let mut machine =
        Machine { bytes, values: Values::default(), stack: Vec::new(), marks: Vec::new(), memo: Vec::new() };
    let outcome = machine.run(most)?;
    *bytes = machine.bytes;
    Some((machine.values, outcome))
}

/// A class or function; none that a model needs has a long name.
fn global(module: &str, name: &str) -> Option<Value> {
    (module.len() + name.len() <= LONGEST_GLOBAL).then(|| Value::Global(format!("{module}.{name}")))
}

struct Machine<'a> {
    /// The bytes that are not read yet.
    bytes: &'a [u8],
    values: Values,
    stack: Vec<Id>,
    /// Positions of the marks on the stack.
    marks: Vec<usize>,
    memo: Vec<Option<Id>>,
}

impl<'a> Machine<'a> {
    /// Every instruction makes at most one value, so the limit of instructions also limits memory.
    fn run(&mut self, most: usize) -> Option<Id> {
        for _ in 0..most {
            match self.byte()? {
                // PROTO; FRAME: how the bytes are divided is irrelevant.
                0x80 => drop(self.byte()?),
                0x95 => drop(self.take(8)?),
                b'.' => return self.pop(),
                b'(' => self.marks.push(self.stack.len()),
                b'0' => drop(self.pop()?),
                b'1' => drop(self.marked()?),
                b'2' => self.stack.push(*self.stack.last()?),
                b'N' => self.push(Value::Other)?,
                code @ (0x88 | 0x89) => self.push(Value::Bool(code == 0x88))?,
                b'G' => {
                    let number = f64::from_be_bytes(self.array()?);
                    self.push(Value::Float(number))?;
                }
                b'J' => {
                    let number = i32::from_le_bytes(self.array()?);
                    self.push(Value::Int(number.into()))?;
                }
                b'K' => {
                    let number = self.byte()?;
                    self.push(Value::Int(number.into()))?;
                }
                b'M' => {
                    let number = u16::from_le_bytes(self.array()?);
                    self.push(Value::Int(number.into()))?;
                }
                // LONG1: little-endian, two's complement.
                0x8a => {
                    let length = self.byte()?;
                    let bytes = self.take(length.into())?;
                    let mut number = [if bytes.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 }; 8];
                    let value = match number.get_mut(..bytes.len()) {
                        Some(low) => {
                            low.copy_from_slice(bytes);
                            Value::Int(i64::from_le_bytes(number))
                        }
                        None => Value::Other,
                    };
                    self.push(value)?;
                }
                // Texts and bytes, each preceded by a length of 1, 4 or 8 bytes.
                code @ (0x8c | b'X' | 0x8d | b'U' | b'T' | b'C' | b'B' | 0x8e) => {
                    let length = match code {
                        0x8c | b'U' | b'C' => self.byte()?.into(),
                        b'X' | b'T' | b'B' => u32::from_le_bytes(self.array()?).into(),
                        _ => u64::from_le_bytes(self.array()?),
                    };
                    let bytes = self.take(length)?;
                    let text = std::str::from_utf8(bytes).ok().filter(|_| !matches!(code, b'C' | b'B' | 0x8e));
                    self.push(text.map_or(Value::Other, |text| Value::Text(text.to_owned())))?;
                }
                b'}' => self.push(Value::Dict(Vec::new()))?,
                // Lists; also sets, which are not used.
                b']' | b')' | 0x8f => self.push(Value::Sequence(Vec::new()))?,
                b't' | b'l' | 0x91 => {
                    let items = self.marked()?;
                    self.push(Value::Sequence(items))?;
                }
                code @ 0x85..=0x87 => {
                    let from = self.stack.len().checked_sub(usize::from(code - 0x84))?;
                    let items = self.above(from)?;
                    self.push(Value::Sequence(items))?;
                }
                b'd' => {
                    let items = self.marked()?;
                    self.push(Value::Dict(Vec::new()))?;
                    self.fill(items)?;
                }
                b's' => {
                    let from = self.stack.len().checked_sub(2)?;
                    let items = self.above(from)?;
                    self.fill(items)?;
                }
                b'u' => {
                    let items = self.marked()?;
                    self.fill(items)?;
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(vec![item])?;
                }
                b'e' | 0x90 => {
                    let items = self.marked()?;
                    self.append(items)?;
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    let global = global(module, name)?;
                    self.push(global)?;
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let (Value::Text(module), Value::Text(name)) = (self.values.get(module)?, self.values.get(name)?)
                    else {
                        return None;
                    };
                    let global = global(module, name)?;
                    self.push(global)?;
                }
                b'Q' => {
                    let of = self.pop()?;
                    self.push(Value::Persistent(of))?;
                }
                // REDUCE and NEWOBJ: a function and its arguments.
                b'R' | 0x81 => {
                    let (arguments, function) = (self.pop()?, self.pop()?);
                    let ordered =
                        |value: &Value| matches!(value, Value::Global(name) if name == "collections.OrderedDict");
                    let empty = |value: &Value| matches!(value, Value::Sequence(items) if items.is_empty());
                    let dict =
                        self.values.get(function).is_some_and(ordered) && self.values.get(arguments).is_some_and(empty);
                    let call = Value::Call { function, arguments, state: None };
                    self.push(if dict { Value::Dict(Vec::new()) } else { call })?;
                }
                // BUILD: the attributes of an object, which remains on the stack.
                b'b' => {
                    let attributes = self.pop()?;
                    if let Some(Value::Call { state, .. }) = self.values.get_mut(*self.stack.last()?) {
                        *state = Some(attributes);
                    }
                }
                b'q' => {
                    let at = self.byte()?;
                    self.keep(at.into())?;
                }
                b'r' => {
                    let at = u32::from_le_bytes(self.array()?);
                    self.keep(at.try_into().ok()?)?;
                }
                0x94 => self.keep(self.memo.len())?,
                b'h' => {
                    let at = self.byte()?;
                    self.recall(at.into())?;
                }
                b'j' => {
                    let at = u32::from_le_bytes(self.array()?);
                    self.recall(at.try_into().ok()?)?;
                }
                _ => return None,
            }
        }
        None
    }

    fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(usize::try_from(length).ok()?)?;
        self.bytes = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N as u64)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn line(&mut self) -> Option<&'a str> {
        let end = self.bytes.iter().position(|byte| *byte == b'\n')?;
        let line = self.take(end as u64)?;
        self.byte()?;
        std::str::from_utf8(line).ok()
    }

    fn push(&mut self, value: Value) -> Option<()> {
        let at = self.values.0.len();
        if at == MOST_VALUES {
            return None;
        }
        self.stack.push(Id(u32::try_from(at).ok()?));
        self.values.0.push(value);
        Some(())
    }

    fn pop(&mut self) -> Option<Id> {
        // Values below a mark cannot be popped before the mark is removed.
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() > floor { self.stack.pop() } else { None }
    }

    /// The values on the stack from `from` on.
    fn above(&mut self, from: usize) -> Option<Vec<Id>> {
        (from >= self.marks.last().copied().unwrap_or(0) && from <= self.stack.len())
            .then(|| self.stack.split_off(from))
    }

    /// The values on the stack above the last mark.
    fn marked(&mut self) -> Option<Vec<Id>> {
        let from = self.marks.pop()?;
        self.above(from)
    }

    /// Inserts keys and values into the dictionary on top of the stack.
    fn fill(&mut self, items: Vec<Id>) -> Option<()> {
        let (pairs, rest) = items.as_chunks::<2>();
        let top = *self.stack.last()?;
        match self.values.get_mut(top)? {
            Value::Dict(entries) if rest.is_empty() => entries.extend(pairs.iter().map(|[key, value]| (*key, *value))),
            // An object of another class that is filled like a dictionary.
            Value::Call { .. } => {}
            _ => return None,
        }
        Some(())
    }

    fn append(&mut self, items: Vec<Id>) -> Option<()> {
        let top = *self.stack.last()?;
        match self.values.get_mut(top)? {
            Value::Sequence(all) => all.extend(items),
            Value::Call { .. } => {}
            _ => return None,
        }
        Some(())
    }

    /// Stores the top of the stack in the memo under `at`. Programs number from 0 on without gaps.
    fn keep(&mut self, at: usize) -> Option<()> {
        let top = *self.stack.last()?;
        if at > self.memo.len() {
            return None;
        }
        if at == self.memo.len() {
            self.memo.push(None);
        }
        *self.memo.get_mut(at)? = Some(top);
        Some(())
    }

    fn recall(&mut self, at: usize) -> Option<()> {
        let kept = *self.memo.get(at)?;
        self.stack.push(kept?);
        Some(())
    }
}
