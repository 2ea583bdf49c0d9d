namespace KlineOrleans.Web;

/// <summary>The page on /openapi: reads the document and lists its operations, as text only, so that nothing in it can become script.</summary>
internal static class OpenApiPage
{
    public const string Html = """
        <!doctype html>
        <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>KlineOrleans API</title>
        <link rel="stylesheet" href="/openapi/page.css"><script src="/openapi/page.js" defer></script></head>
        <body><header><h1>KlineOrleans API</h1><p id="about"></p><p><a href="/openapi/v1.json">OpenAPI 3.1 document</a></p></header><main id="list"><p>Reading the document. Without scripts, read it itself.</p></main></body></html>
        """;

    public const string Style = """
        :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
        body { max-width: 60rem; margin: 0 auto; padding: 1rem; }
        details { border: 1px solid #8886; border-radius: .4rem; margin: .5rem 0; padding: .4rem .8rem; }
        summary { cursor: pointer; }
        code, pre { font-family: ui-monospace, monospace; font-size: .9rem; }
        pre { overflow-x: auto; padding: .5rem; background: #8881; }
        table { border-collapse: collapse; width: 100%; }
        td, th { text-align: left; vertical-align: top; padding: .2rem .6rem .2rem 0; border-top: 1px solid #8884; }
        .method { font-weight: 700; margin-right: .5rem; }
        """;

    public const string Script = """
        'use strict';
        const make = (name, text, ...children) => {
          const element = document.createElement(name);
          if (text) element.textContent = text;
          element.append(...children);
          return element;
        };
        const table = (head, rows) => make('table', '', make('tr', '', ...head.map(h => make('th', h))), ...rows.map(row => make('tr', '', ...row.map(cell => make('td', cell)))));
        const typeOf = schema => !schema ? '' : schema.$ref ? schema.$ref.split('/').pop() : [].concat(schema.type ?? '').join(' | ')
          + (schema.minimum !== undefined ? ` from ${schema.minimum}` : '') + (schema.maximum !== undefined ? ` to ${schema.maximum}` : '') + (schema.default !== undefined ? `, default ${schema.default}` : '');
        const show = document_ => {
          document.getElementById('about').textContent = document_.info.description ?? '';
          const list = document.getElementById('list');
          list.replaceChildren();
          for (const tag of document_.tags ?? []) {
            list.append(make('h2', tag.name));
            for (const [path, item] of Object.entries(document_.paths)) for (const [method, operation] of Object.entries(item)) {
              if (!operation.tags?.includes(tag.name)) continue;
              const name = make('span', method.toUpperCase());
              name.className = 'method';
              const details = make('details', '', make('summary', '', name, make('code', path), ' ' + (operation.summary ?? '')));
              if (operation.parameters?.length) details.append(make('h3', 'Parameters'), table(['Name', 'In', 'Type', 'Meaning'],
                operation.parameters.map(p => [p.name + (p.required ? ' *' : ''), p.in, typeOf(p.schema), (p.description ?? '') + (p.schema?.enum ? ' ' + p.schema.enum.join(', ') : '')])));
              details.append(make('h3', 'Answers'), table(['Status', 'Meaning', 'Schema'],
                Object.entries(operation.responses).map(([status, r]) => [status, r.description ?? '', Object.values(r.content ?? {}).map(c => typeOf(c.schema)).join(', ')])));
              list.append(details);
            }
          }
          list.append(make('h2', 'Schemas'));
          for (const [name, schema] of Object.entries(document_.components?.schemas ?? {})) list.append(make('details', '', make('summary', name), make('pre', JSON.stringify(schema, null, 2))));
        };
        fetch('/openapi/v1.json').then(r => r.json()).then(show, e => { document.getElementById('list').textContent = 'The document cannot be read: ' + e; });
        """;
}
