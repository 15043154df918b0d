-- A pandoc reader: from the chapters, as JSON, it writes the pages and returns the document for the PDF. All that is
-- Quarto's is resolved here. Where the two differ there is raw HTML and raw Typst: a writer drops what is not its own.
local names = { sec = "Section", fig = "Figure", tbl = "Table", eq = "Equation" }
local counts = { Chapter = 0, Appendix = 64 } -- the 65th letter is A
local known, chapter = {}, nil -- what references can name, by identifier; the chapter at hand

local function fail(message)
  io.stderr:write(chapter.path, ": ", message, "\n")
  os.exit(1)
end

local function box(div) -- callouts, and what the PDF does not show; what the site does not show is the stylesheet's
  local function raw(a, b) return pandoc.Blocks({ pandoc.RawBlock("html", a), pandoc.RawBlock("typst", b) }) end
  local kind, format = table.concat(div.classes, " "):match("callout%-(%a+)"), div.attributes["when-format"]
  if kind then
    local title = pandoc.Inlines(div.attributes.title or kind:gsub("^%l", string.upper))
    if div.content[1].t == "Header" then title = div.content:remove(1).content end
    local tags = div.attributes.collapse == "true" and { "details", "summary" } or { "aside", "p" }
    local open = raw(('<%s class="callout %s"><%s>'):format(tags[1], kind, tags[2]), '#callout("' .. kind .. '")[')
    local between, close = raw("</" .. tags[2] .. ">", "]["), raw("</" .. tags[1] .. ">", "]")
    return open .. { pandoc.Plain(title) } .. between .. div.content .. close
  elseif format and (format == "html") == div.classes:includes("content-visible") then
    return raw("", "#if false [") .. div.content .. raw("", "]")
  end
end

local function number(element)
  local id, level, value = element.identifier, element.level, chapter.number
  local kind = level and "sec" or id:match("^(%a+)%-")
  if not counts[kind] then return nil end
  known[id] = { target = chapter.page .. "#" .. id, text = pandoc.utils.stringify(element) }
  if level and (not value or level > 2 or element.classes:includes("unnumbered")) then return nil end
  counts[kind] = counts[kind] + (level == 1 and 0 or 1)
  if level ~= 1 then value = (value and value .. "." or "") .. counts[kind] end
  known[id].text = (level == 1 and chapter.kind or names[kind]) .. "\u{a0}" .. value
  if level then
    element.content:insert(1, pandoc.Span(value .. "\u{2002}", { class = "number" }))
  elseif element.caption then
    element.caption.long[1].content:insert(1, pandoc.Strong(known[id].text .. ".\u{2002}"))
  else -- an equation
    local before, after = pandoc.RawInline("typst", "#numbered[(" .. value .. ")]["), pandoc.RawInline("typst", "]")
    element.content, element.attributes.number = { before, element.content[1], after }, "(" .. value .. ")"
  end
  return element
end

local function refer(cite)
  local links = pandoc.Inlines({})
  for at, citation in ipairs(cite.citations) do
    if not names[citation.id:match("^(%a+)%-")] then return nil end -- a citation, which citeproc resolves
    local found = known[citation.id] or fail("@" .. citation.id .. " refers to nothing in the book")
    links:extend({ pandoc.Str(at > 1 and ", " or ""), pandoc.Link(found.text, chapter.up .. found.target) })
  end
  return links
end

local function link(element)
  local target = element.target:gsub("^#ref%-", chapter.up .. "references.html%0")
  element.target = target:match("^%a+:") and target or target:gsub("%.ipynb", ".html"):gsub("%.qmd", ".html")
  return element
end

local function image(element)
  local alternative = element.attributes["fig-alt"] or pandoc.utils.stringify(element.caption)
  element.caption, element.attributes["fig-alt"] = pandoc.Inlines(alternative), nil
  local path, escaped = "/" .. chapter.page:gsub("[^/]*$", element.src), alternative:gsub('[\\"]', "\\%0")
  return { pandoc.RawInline("typst", ('#picture("%s", "%s")'):format(path, escaped)), element }
end

function Reader(sources)
  local book, blocks, printed = pandoc.json.decode(tostring(sources), false), pandoc.Blocks({}), pandoc.Blocks({})
  for at, this in ipairs(book.chapters) do
    local kind = this.part == "Appendices" and "Appendix" or "Chapter"
    local read = pandoc.read(this.markdown, "markdown", { columns = 10000 }) -- leaves tables without widths
    if read.meta.title then read.blocks:insert(1, pandoc.Header(1, read.meta.title, { "title", { "unnumbered" } })) end
    chapter, this.kind, this.markdown = this, kind, nil
    this.page, this.up = this.path:gsub("%.%a+$", ".html"), ("../"):rep(select(2, this.path:gsub("/", "")))
    this.opens = (at == 1 or book.chapters[at - 1].part ~= this.part) and this.part or nil
    local title = read.blocks[1]
    if not title or title.level ~= 1 then fail("does not begin with a title") end
    local numbered = not title.classes:includes("unnumbered")
    counts.sec, counts.fig, counts.tbl, counts.eq, counts[kind] = 0, 0, 0, 0, counts[kind] + (numbered and 1 or 0)
    this.number = numbered and (kind == "Appendix" and string.char or tostring)(counts[kind]) or nil
    local rules = { traverse = "topdown", Header = number, Figure = number, Table = number, Span = number }
    blocks[at] = pandoc.Div(read.blocks:walk({ Div = box }):walk(rules))
    this.title, this.plain = blocks[at].content[1].content, pandoc.utils.stringify(blocks[at].content[1])
  end
  for at, this in ipairs(book.chapters) do
    chapter = this
    blocks[at] = blocks[at]:walk({ Cite = refer, Image = image })
  end
  book.meta.chapters, book.meta["link-citations"] = book.chapters, true
  blocks = pandoc.utils.citeproc(pandoc.Pandoc(blocks, book.meta)).blocks
  local opts = { html_math_method = "mathml", table_of_contents = true, toc_depth = 2, wrap_text = "none" }
  opts.template = pandoc.template.compile(pandoc.template.get(book.page))
  for at, this in ipairs(book.chapters) do
    chapter, this.current = this, true
    local text = blocks[at]:walk({ Link = link }).content
    book.meta.here, book.meta.previous, book.meta.next = this, book.chapters[at - 1], book.chapters[at + 1]
    pandoc.system.write_file(book.site .. "/" .. this.page, pandoc.write(pandoc.Pandoc(text, book.meta), "html", opts))
    this.current = nil
    local opening = pandoc.RawBlock("typst", ('#chapter("%s", "%s")'):format(this.page, this.opens or ""))
    printed = printed .. { opening } .. text
  end
  return pandoc.Pandoc(printed, book.meta)
end
