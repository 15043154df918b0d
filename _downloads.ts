// After `quarto render`: the chapters as notebooks to download, with what they include and the values of
// _variables.yml in their places, where Jupyter would show `{{< … >}}`. Quarto runs it; embedded/__main__.py does the same.
const values: Record<string, string> = {};
let chapter = "";
for (const line of Deno.readTextFileSync("_variables.yml").split(/\r?\n/)) {
  chapter = line.match(/^([\w-]+):$/)?.[1] ?? chapter;
  const [, name, value] = line.match(/^  ([\w-]+): (".*")$/) ?? [];
  if (name) values[`${chapter}.${name}`] = JSON.parse(value);
}
const include = /^\{\{< include (\S+) >\}\}$/gm;
const fill = (text: string) =>
  text
    .replace(include, (_, path) => Deno.readTextFileSync(`chapters/${path}`))
    .replace(/\{\{< var ([\w.-]+) >\}\}/g, (_, name) => {
      if (!(name in values)) throw new Error(`_variables.yml has no ${name}; run make chapters`);
      return values[name];
    });

const folder = `${Deno.env.get("QUARTO_PROJECT_OUTPUT_DIR") ?? "_book"}/notebooks`;
Deno.mkdirSync(folder, { recursive: true });
for (const { name } of Deno.readDirSync("chapters")) {
  if (!name.endsWith(".ipynb")) continue;
  const notebook = JSON.parse(Deno.readTextFileSync(`chapters/${name}`));
  for (const cell of notebook.cells) cell.source = [fill(cell.source.join(""))];
  Deno.writeTextFileSync(`${folder}/${name}`, JSON.stringify(notebook, null, 1) + "\n");
}
