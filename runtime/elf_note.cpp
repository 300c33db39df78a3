#include "runtime/elf_note.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "runtime/error.h"
#include "runtime/files.h"

namespace mlpc::runtime {
namespace {

#if defined(__x86_64__)
constexpr unsigned kMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr unsigned kMachine = EM_AARCH64;
#else
#error "elf_note.cpp: which e_machine do shared libraries of this processor have?"
#endif

constexpr std::string_view kOwner("mlpc\0", 5);
constexpr std::uint32_t kNameNote = 1;

/// A struct of the file, which may be anywhere and need not be aligned.
template <typename T>
std::optional<T> struct_at(std::span<const std::byte> bytes, std::uint64_t at) {
  if (at > bytes.size() || bytes.size() - at < sizeof(T)) return {};
  T out;
  std::memcpy(&out, bytes.data() + at, sizeof out);
  return out;
}

std::optional<std::span<const std::byte>> range(std::span<const std::byte> bytes, std::uint64_t at,
                                                std::uint64_t size) {
  if (at > bytes.size() || bytes.size() - at < size) return {};
  return bytes.subspan(at, size);
}

constexpr std::uint64_t rounded_to_4(std::uint64_t n) { return (n + 3) & ~std::uint64_t{3}; }

bool is_c_name(std::string_view name) {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  return !name.empty() && !is_digit(name[0]) &&
         std::ranges::all_of(name, [&](char c) { return is_letter(c) || is_digit(c); });
}

/// The content of a note of ours among the notes of one section.
std::optional<std::string> name_among(std::span<const std::byte> notes) {
  std::uint64_t at = 0;
  while (const auto note = struct_at<Elf64_Nhdr>(notes, at)) {
    const std::uint64_t owner_at = at + sizeof(Elf64_Nhdr);
    const std::uint64_t content_at = owner_at + rounded_to_4(note->n_namesz);
    const auto owner = range(notes, owner_at, note->n_namesz),
               content = range(notes, content_at, note->n_descsz);
    if (!owner || !content) return {};
    if (text_in(*owner) == kOwner && note->n_type == kNameNote) {
      const std::string_view text = text_in(*content);
      if (text.empty() || text.back() != '\0' || !is_c_name(text.substr(0, text.size() - 1))) return {};
      return std::string(text.substr(0, text.size() - 1));
    }
    at = content_at + rounded_to_4(note->n_descsz);
  }
  return {};
}

Elf64_Ehdr checked_header(std::span<const std::byte> library, const std::string& where) {
  const auto header = struct_at<Elf64_Ehdr>(library, 0);
  if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) fail(where, "is no shared library");
  if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
      header->e_type != ET_DYN)
    fail(where, "is no shared library of 64 bits");
  if (header->e_machine != kMachine) fail(where, "is a library for another kind of processor");
  if (header->e_shentsize != sizeof(Elf64_Shdr) || header->e_phentsize != sizeof(Elf64_Phdr))
    fail(where, "the library's header is damaged");
  return *header;
}

/// Rows of one of the file's two tables. All of them must lie in the file, and so must what they describe: to
/// map a library that is cut off would end in SIGBUS.
template <typename T>
std::vector<T> rows_at(std::span<const std::byte> library, std::uint64_t at, std::uint64_t count,
                       const std::string& where) {
  const auto table = range(library, at, count * sizeof(T));  // count is below 2¹⁶
  if (!table) fail(where, "the library is cut off");
  std::vector<T> out;
  for (std::uint64_t i = 0; i < count; ++i) out.push_back(*struct_at<T>(*table, i * sizeof(T)));
  return out;
}

}  // namespace

std::string model_name_in(std::span<const std::byte> library, const std::string& where) {
  const Elf64_Ehdr header = checked_header(library, where);
  for (const auto& segment : rows_at<Elf64_Phdr>(library, header.e_phoff, header.e_phnum, where))
    if (!range(library, segment.p_offset, segment.p_filesz)) fail(where, "the library is cut off");
  std::optional<std::string> name;
  for (const auto& section : rows_at<Elf64_Shdr>(library, header.e_shoff, header.e_shnum, where)) {
    if (section.sh_type == SHT_NOBITS) continue;
    const auto content = range(library, section.sh_offset, section.sh_size);
    if (!content) fail(where, "the library is cut off");
    if (!name && section.sh_type == SHT_NOTE) name = name_among(*content);
  }
  if (!name) fail(where, "is no model: it has no note by mlpc");
  return *name;
}

}  // namespace mlpc::runtime
