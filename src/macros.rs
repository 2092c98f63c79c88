//! `term!`.

/// Builds a term: `term!(heap, {:ok, [1, 2, ..rest], #{"k" => v, :a => 2}, expression})`.
///
/// | written | term |
/// |---|---|
/// | `{a, b}` | tuple |
/// | `[a, b]`, `[a, ..tail]` | list |
/// | `#{k => v}` | map |
/// | `:name` | atom |
/// | `<<1, 2, "text">>` | binary, of bytes and strings |
/// | anything else | a Rust expression that is [`ToTerm`](crate::heap::ToTerm) |
///
/// The heap is a [`Heap`](crate::heap::Heap) or what dereferences to one, as a turn's context does.
///
/// # Panics
///
/// As the constructors of the heap when memory runs out, as [`atom!`](crate::atom!), and for a float that is not
/// finite.
///
/// ```
/// use shared_term::{Region, term};
/// let n = 41;
/// let r = Region::build(|h| {
///     let rest = term!(h, [3]);
///     term!(h, {:reply, n + 1, [1, {2.5}, ..rest], #{"k" => :v, 1 => []}})
/// });
/// assert_eq!(r.root().to_string(), r#"{reply,42,[1,{2.5},3],#{1 => [],<<"k">> => v}}"#);
/// ```
#[macro_export]
macro_rules! term {
    ($h:expr, $($t:tt)+) => {{
        let heap = $crate::__private::heap_of(&$h);
        $crate::__term!(@one heap $($t)+)
    }};
}

#[doc(hidden)]
#[macro_export]
macro_rules! __term {
    (@one $h:ident { $($t:tt)* }) => { $h.tuple(&$crate::__term!(@seq $h [] $($t)*)) };
    (@one $h:ident [ $($t:tt)* ]) => { $crate::__term!(@list $h [] $($t)*) };
    (@one $h:ident # { $($t:tt)* }) => { $h.map::<$crate::Term<'_>, $crate::Term<'_>>($crate::__term!(@map $h [] $($t)*)) };
    (@one $h:ident << $($b:literal),* >>) => {{
        let mut bytes = $crate::__private::Vec::new();
        $($crate::__private::Segment::append($b, &mut bytes);)*
        $h.binary(bytes)
    }};
    (@one $h:ident : $a:ident) => { $h.atom($crate::atom!(stringify!($a))) };
    (@one $h:ident $e:expr) => { $crate::heap::ToTerm::to_term($e, $h) };

    // A comma sequence becomes an array.
    (@seq $h:ident [$($d:expr,)*]) => { [$($d),*] };
    (@seq $h:ident [$($d:expr,)*] { $($i:tt)* } $(, $($r:tt)*)?) => {
        $crate::__term!(@seq $h [$($d,)* $crate::__term!(@one $h { $($i)* }),] $($($r)*)?)
    };
    (@seq $h:ident [$($d:expr,)*] [ $($i:tt)* ] $(, $($r:tt)*)?) => {
        $crate::__term!(@seq $h [$($d,)* $crate::__term!(@one $h [ $($i)* ]),] $($($r)*)?)
    };
    (@seq $h:ident [$($d:expr,)*] # { $($i:tt)* } $(, $($r:tt)*)?) => {
        $crate::__term!(@seq $h [$($d,)* $crate::__term!(@one $h # { $($i)* }),] $($($r)*)?)
    };
    (@seq $h:ident [$($d:expr,)*] << $($b:literal),* >> $(, $($r:tt)*)?) => {
        $crate::__term!(@seq $h [$($d,)* $crate::__term!(@one $h << $($b),* >>),] $($($r)*)?)
    };
    (@seq $h:ident [$($d:expr,)*] : $a:ident $(, $($r:tt)*)?) => {
        $crate::__term!(@seq $h [$($d,)* $crate::__term!(@one $h : $a),] $($($r)*)?)
    };
    (@seq $h:ident [$($d:expr,)*] $e:expr $(, $($r:tt)*)?) => {
        $crate::__term!(@seq $h [$($d,)* $crate::__term!(@one $h $e),] $($($r)*)?)
    };

    // A list, with an optional `..tail`.
    (@list $h:ident [$($d:expr,)*]) => { $h.list_with_tail::<$crate::Term<'_>>([$($d),*], $h.nil()) };
    (@list $h:ident [$($d:expr,)*] .. $t:expr) => {
        $h.list_with_tail::<$crate::Term<'_>>([$($d),*], $crate::heap::ToTerm::to_term($t, $h))
    };
    (@list $h:ident [$($d:expr,)*] { $($i:tt)* } $(, $($r:tt)*)?) => {
        $crate::__term!(@list $h [$($d,)* $crate::__term!(@one $h { $($i)* }),] $($($r)*)?)
    };
    (@list $h:ident [$($d:expr,)*] [ $($i:tt)* ] $(, $($r:tt)*)?) => {
        $crate::__term!(@list $h [$($d,)* $crate::__term!(@one $h [ $($i)* ]),] $($($r)*)?)
    };
    (@list $h:ident [$($d:expr,)*] # { $($i:tt)* } $(, $($r:tt)*)?) => {
        $crate::__term!(@list $h [$($d,)* $crate::__term!(@one $h # { $($i)* }),] $($($r)*)?)
    };
    (@list $h:ident [$($d:expr,)*] << $($b:literal),* >> $(, $($r:tt)*)?) => {
        $crate::__term!(@list $h [$($d,)* $crate::__term!(@one $h << $($b),* >>),] $($($r)*)?)
    };
    (@list $h:ident [$($d:expr,)*] : $a:ident $(, $($r:tt)*)?) => {
        $crate::__term!(@list $h [$($d,)* $crate::__term!(@one $h : $a),] $($($r)*)?)
    };
    (@list $h:ident [$($d:expr,)*] $e:expr $(, $($r:tt)*)?) => {
        $crate::__term!(@list $h [$($d,)* $crate::__term!(@one $h $e),] $($($r)*)?)
    };

    // Pairs: a key is `:atom`, `{..}`, `[..]` or an expression; a value is any of the above.
    (@map $h:ident [$($d:expr,)*]) => { [$($d),*] };
    (@map $h:ident [$($d:expr,)*] : $k:ident => $($r:tt)*) => {
        $crate::__term!(@value $h [$($d,)*] ($crate::__term!(@one $h : $k)) $($r)*)
    };
    (@map $h:ident [$($d:expr,)*] { $($k:tt)* } => $($r:tt)*) => {
        $crate::__term!(@value $h [$($d,)*] ($crate::__term!(@one $h { $($k)* })) $($r)*)
    };
    (@map $h:ident [$($d:expr,)*] [ $($k:tt)* ] => $($r:tt)*) => {
        $crate::__term!(@value $h [$($d,)*] ($crate::__term!(@one $h [ $($k)* ])) $($r)*)
    };
    (@map $h:ident [$($d:expr,)*] << $($b:literal),* >> => $($r:tt)*) => {
        $crate::__term!(@value $h [$($d,)*] ($crate::__term!(@one $h << $($b),* >>)) $($r)*)
    };
    (@map $h:ident [$($d:expr,)*] $k:expr => $($r:tt)*) => {
        $crate::__term!(@value $h [$($d,)*] ($crate::__term!(@one $h $k)) $($r)*)
    };
    (@value $h:ident [$($d:expr,)*] ($k:expr) { $($i:tt)* } $(, $($r:tt)*)?) => {
        $crate::__term!(@map $h [$($d,)* ($k, $crate::__term!(@one $h { $($i)* })),] $($($r)*)?)
    };
    (@value $h:ident [$($d:expr,)*] ($k:expr) [ $($i:tt)* ] $(, $($r:tt)*)?) => {
        $crate::__term!(@map $h [$($d,)* ($k, $crate::__term!(@one $h [ $($i)* ])),] $($($r)*)?)
    };
    (@value $h:ident [$($d:expr,)*] ($k:expr) # { $($i:tt)* } $(, $($r:tt)*)?) => {
        $crate::__term!(@map $h [$($d,)* ($k, $crate::__term!(@one $h # { $($i)* })),] $($($r)*)?)
    };
    (@value $h:ident [$($d:expr,)*] ($k:expr) << $($b:literal),* >> $(, $($r:tt)*)?) => {
        $crate::__term!(@map $h [$($d,)* ($k, $crate::__term!(@one $h << $($b),* >>)),] $($($r)*)?)
    };
    (@value $h:ident [$($d:expr,)*] ($k:expr) : $a:ident $(, $($r:tt)*)?) => {
        $crate::__term!(@map $h [$($d,)* ($k, $crate::__term!(@one $h : $a)),] $($($r)*)?)
    };
    (@value $h:ident [$($d:expr,)*] ($k:expr) $e:expr $(, $($r:tt)*)?) => {
        $crate::__term!(@map $h [$($d,)* ($k, $crate::__term!(@one $h $e)),] $($($r)*)?)
    };
}
