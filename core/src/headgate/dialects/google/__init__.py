"""Google generateContent, and what Gemini models take."""
