namespace KlineOrleans.Storage.Postgres;

/// <summary>What PostgreSQL can keep as text.</summary>
internal static class PostgresText
{
    /// <summary>Whether such text can have been stored.</summary>
    public static bool IsStorable(string text)
    {
        if (text.Contains('\0'))
            return false;
        for (var i = 0; i < text.Length; i++)
        {
            if (!char.IsSurrogate(text[i]))
                continue;
            if (i + 1 == text.Length || !char.IsSurrogatePair(text[i], text[i + 1]))
                return false;
            i++;
        }

        return true;
    }

    /// <exception cref="ArgumentException">It would come back as other text, or not be taken: half a surrogate pair, or U+0000.</exception>
    public static void Check(string? text, string name)
    {
        if (text is not null && !IsStorable(text))
            throw new ArgumentException($"'{text.Replace("\0", "\\0", StringComparison.Ordinal)}' holds U+0000 or half a surrogate pair, which PostgreSQL does not store.", name);
    }
}
