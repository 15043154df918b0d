-- What is Quarto's in the book's Markdown: numbers and cross-references, equations, figures' alternative text, callouts.
-- Numbers are counted over the whole book, so that its pages and its PDF agree.
local html = FORMAT:match("html") ~= nil
local names = { sec = "Section", fig = "Figure", eq = "Equation", tbl = "Table" }
local label_text = {} -- label -> text of a reference to it
local chapter, section, equations, figures, tables, appendices = 0, 0, 0, 0, 0, false

local function chapter_name()
  return appendices and string.char(64 + chapter) or tostring(chapter)
end

local function number_header(header)
  if header.classes:includes("unnumbered") then
    label_text[header.identifier] = pandoc.utils.stringify(header.content)
    if header.level == 1 then equations, tables, section = 0, 0, -math.huge end
    return nil
  end
  local number, name
  if header.level == 1 then
    chapter, section, equations, tables = chapter + 1, 0, 0, 0
    number, name = chapter_name(), appendices and "Appendix" or "Chapter"
  elseif header.level == 2 and chapter > 0 and section >= 0 then
    section = section + 1
    number, name = chapter_name() .. "." .. section, "Section"
  else
    label_text[header.identifier] = pandoc.utils.stringify(header.content)
    return nil
  end
  label_text[header.identifier] = name .. " " .. number
  header.content:insert(1, pandoc.Span({ number .. "  " }, { class = "number" }))
  return header
end

local function raw(text) return pandoc.RawBlock("typst", text) end

local function number_equation(para)
  local last = para.content[#para.content]
  local label = last and last.t == "Str" and last.text:match("^{#(eq%-[%w-]+)}$")
  if not label then return nil end
  equations = equations + 1
  local number = chapter_name() .. "." .. equations
  label_text[label] = "Equation " .. number
  local math = para.content:find_if(function(inline) return inline.t == "Math" end)
  local body = html and { pandoc.Para({ math }), pandoc.Para({ "(" .. number .. ")" }) }
    or { raw("#equation(\"(" .. number .. ")\")["), pandoc.Para({ math }), raw("]") }
  return pandoc.Div(body, { id = label, class = "equation" })
end

local function number_figure(figure)
  if not figure.identifier:match("^fig%-") then return nil end
  figures = figures + 1
  label_text[figure.identifier] = "Figure " .. figures
  figure.caption.long[1].content:insert(1, pandoc.Strong({ "Figure " .. figures .. ". " }))
  return figure
end

local function number_table(tbl)
  local label = tbl.identifier
  if not label:match("^tbl%-") then return nil end
  tables = tables + 1
  label_text[label] = "Table " .. chapter_name() .. "." .. tables
  tbl.caption.long[1].content:insert(1, pandoc.Strong({ label_text[label] .. ". " }))
  return tbl
end

local function number_block(block)
  if block.t == "Header" then return number_header(block) end
  if block.t == "Para" then return number_equation(block) end
  if block.t == "Figure" then return number_figure(block) end
  if block.t == "Table" then return number_table(block) end
  if block.t == "Div" and block.classes:includes("appendices") then
    chapter, appendices = 0, true
    return {}
  end
end

local function resolve_reference(cite)
  local label = cite.citations[1].id
  if not names[label:match("^(%a+)%-")] then return nil end
  if not label_text[label] then error("@" .. label .. " refers to nothing in the book") end
  return pandoc.Link({ (label_text[label]:gsub(" ", "\u{a0}")) }, "#" .. label)
end

local function picture(image)
  local alternative = image.attributes["fig-alt"]
  if not alternative then return nil end
  image.attributes["fig-alt"] = nil
  if html then
    image.attributes.alt = alternative
    return image
  end
  local quoted = alternative:gsub("\\", "\\\\")
  return pandoc.RawInline("typst", string.format('#picture("%s", "%s")', image.src, quoted))
end

local function callout(div)
  local kind = table.concat(div.classes, " "):match("callout%-(%a+)")
  if not kind then return nil end
  local title = div.attributes.title or (kind:sub(1, 1):upper() .. kind:sub(2))
  if not html then
    return { raw("#callout[" .. title .. "]["), pandoc.Div(div.content), raw("]") }
  elseif div.attributes.collapse == "true" then
    local open = '<details class="callout"><summary>' .. title .. "</summary>"
    return { pandoc.RawBlock("html", open), pandoc.Div(div.content), pandoc.RawBlock("html", "</details>") }
  end
  local heading = pandoc.Div({ pandoc.Plain({ pandoc.Strong({ title }) }) }, { class = "callout-title" })
  return pandoc.Div({ heading, table.unpack(div.content) }, { class = "callout callout-" .. kind })
end

return {
  { traverse = "topdown", Block = number_block },
  { Cite = resolve_reference, Image = picture, Div = callout },
}
